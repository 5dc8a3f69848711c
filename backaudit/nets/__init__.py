"""Torch work that the methods share."""
