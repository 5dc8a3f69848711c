"""Purifiers on models whose truth is known: what they remove, and what it costs."""
