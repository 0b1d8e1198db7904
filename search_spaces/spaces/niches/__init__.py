"""M2N2's individuals, as piecewise-constant linear combinations of the parents over the flattened parameters."""
