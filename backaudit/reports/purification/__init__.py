"""The reports of a purification."""
