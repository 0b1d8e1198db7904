"""Everything that was ever scored, as events in one SQLite file."""

from evomerge.archive.event_store import Archive, ArchiveError, Asked, Record, Told

__all__ = ["Archive", "ArchiveError", "Asked", "Record", "Told"]
