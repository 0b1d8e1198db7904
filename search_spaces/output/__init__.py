"""Writing merges to disk."""
