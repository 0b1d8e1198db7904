"""What can be built from a set of parents, and building it."""
