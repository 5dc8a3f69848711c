"""Screeners on models whose truth is known."""
