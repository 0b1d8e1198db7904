"""Merges of vision-language models: two experts that read images, and a merge that does what both can."""
