"""MAP's surrogates against a grid of real scores."""
