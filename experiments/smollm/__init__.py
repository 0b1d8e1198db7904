"""SmolLM2-135M-Instruct and three experts of it: the main job on a real language model."""
