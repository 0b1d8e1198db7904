"""Running a language model over items."""
