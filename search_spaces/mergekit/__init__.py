"""mergekit's configuration format: reading it into recipes, and writing recipes as it."""
