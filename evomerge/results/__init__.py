"""What came out of a search: fronts, verdicts, pages, cards."""
