"""Reduced benchmarks and honest winners, measured."""
