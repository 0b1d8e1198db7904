"""What parents compute on prompts: input covariances, Fisher information, Adam's second moments, kept on disk."""
