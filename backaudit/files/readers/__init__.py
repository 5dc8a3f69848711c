"""One reader for each format: bytes -> contents."""
