"""An operator and an optimiser of one's own."""
