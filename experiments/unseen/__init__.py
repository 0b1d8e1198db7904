"""What a search keeps that its fitness does not see: two experts' tasks are searched on, the third is tested."""
