"""M2N2: natural niches."""
