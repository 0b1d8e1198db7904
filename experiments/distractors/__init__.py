"""Parents that are noise: what they cost a search, and how a plan names them."""
