"""Recipes into a folder of models whose truth is known."""
