"""Bayesian optimisation of merges: a response model of genes and items says where the next ones pay."""
