"""Cheap models of the objectives over the unit cube, and what a search asks of them."""
