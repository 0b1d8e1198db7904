"""Train a tiny base and three experts, search their merges, verify: the main job in minutes."""
