"""Reading parents, merging their tensors, and writing the result."""
