"""Workers whose models are written into a vLLM engine: merged inside of it, completions by it."""
