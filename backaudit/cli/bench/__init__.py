"""backaudit bench: the methods on models whose truth is known."""
