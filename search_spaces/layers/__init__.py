"""Layers of a model: whose they are, how they behave, what can be folded into them."""
