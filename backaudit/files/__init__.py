"""What a file holds, told without running anything in it; nothing here imports torch."""
