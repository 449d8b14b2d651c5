"""Data sets that models learn from: reading them, and nothing else."""
