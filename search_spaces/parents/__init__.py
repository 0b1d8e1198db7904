"""Opening and comparing checkpoints."""

from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.parents import Parents

__all__ = ["Checkpoint", "Parents"]
