"""Where the parents' tensors come from when candidates are merged, and which of the ways suits a machine."""
