"""pycma and what is built around it."""
