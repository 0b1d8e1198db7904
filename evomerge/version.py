"""The version of this package: a module of its own, so that archives can record it without the whole face."""

__version__ = "0.1.0"
