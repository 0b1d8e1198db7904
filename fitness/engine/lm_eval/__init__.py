"""lm-eval on this engine."""
