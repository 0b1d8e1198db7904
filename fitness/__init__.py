"""How good a model is, item by item."""
