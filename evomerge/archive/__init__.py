"""Everything that was ever scored, as events in one SQLite file."""

from evomerge.archive.codec import Asked, Record, Told
from evomerge.archive.errors import ArchiveError, Damage
from evomerge.archive.event_store import Archive

__all__ = ["Archive", "ArchiveError", "Asked", "Damage", "Record", "Told"]
