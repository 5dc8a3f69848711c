"""Pickles, read by a machine that can build plain values and inert stand-ins, and nothing else."""
