"""MAP: Pareto fronts of quadratic surrogates."""
