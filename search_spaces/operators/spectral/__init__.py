"""Operators on the singular vectors of task vectors: matrices inside the layers; everything else is averaged."""
