"""What each command does, behind `evomerge.cli.app`."""
