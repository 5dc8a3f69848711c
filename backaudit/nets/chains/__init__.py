"""Plain chains of layers that no library knows: read from shapes, filled in, built."""
