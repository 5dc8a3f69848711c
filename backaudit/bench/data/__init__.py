"""Data sets that models are trained on and audited with, as tensors in memory."""
