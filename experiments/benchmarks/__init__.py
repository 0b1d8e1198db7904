"""Speed, measured by committed scripts."""
