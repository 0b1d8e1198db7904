"""What the engine knows of a model."""
