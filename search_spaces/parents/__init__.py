"""Opening and comparing checkpoints."""
