"""The only layer that opens files it was given."""
