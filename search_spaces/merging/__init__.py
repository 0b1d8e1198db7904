"""From a recipe to tensors."""
