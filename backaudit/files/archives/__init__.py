"""Zip archives, read strictly: what two programs could read differently is refused."""
