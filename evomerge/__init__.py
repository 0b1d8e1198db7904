"""Evolutionary search for the best merge of language models."""

__version__ = "0.1.0"
