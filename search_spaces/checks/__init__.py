"""What the preflight compares: tensors, configs, tokenizers."""
