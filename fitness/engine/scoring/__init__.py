"""Scoring log-likelihoods as a trie."""
