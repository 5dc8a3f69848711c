"""What names and shapes leave open: how images are prepared, which of several networks fits."""
