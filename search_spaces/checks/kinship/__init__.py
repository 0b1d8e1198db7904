"""What parents are to their base and to each other: related or not, near-duplicates, locked against merging."""
