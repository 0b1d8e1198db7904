"""What `evomerge` itself shows: searches, runs, studies; returns objects, never prints. Its face is `evomerge`."""
