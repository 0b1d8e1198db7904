"""Algorithms that propose genomes, all behind ask and tell."""
