"""What grows with the size of a campaign, a file for each subject."""
