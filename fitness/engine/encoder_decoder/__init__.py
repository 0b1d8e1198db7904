"""Models that read a prompt with an encoder and write its answer with a decoder: T5, BART and their kin."""
