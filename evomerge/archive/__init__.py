"""Everything that was ever scored, as events in one SQLite file."""

from evomerge.archive.codec import Asked, Record, Told
from evomerge.archive.event_store import Archive
from evomerge.archive.file import ArchiveError

__all__ = ["Archive", "ArchiveError", "Asked", "Record", "Told"]
