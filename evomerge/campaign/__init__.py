"""One search from start to finish, and how it resumes."""
