"""What an archive yields, and how its rows are packed: genomes, recipes, item scores and estimates, all lossless."""

from __future__ import annotations

import json
import math
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.archive.campaign_text import Role
from evomerge.candidate import Candidate, Stage, Work
from fitness.scores import Estimate, ItemScores, ObjectiveEstimate, Split, Stopped, item_set_digest
from search_spaces.recipes.recipe import Recipe

# The first byte of a packed score vector tells its form.
_BITS, _FLOAT32, _FLOAT64 = b"b", b"f", b"d"
# No packed row grows larger: an archive may come from anywhere, and a few bytes may inflate to fill the memory.
_LARGEST = 1 << 28
_NUMBER = (int, float)
_YEAR_9999 = 253_370_764_800.0  # the last that dates are written of, in seconds since the epoch


@dataclass(frozen=True)
class Asked:
    """Candidates were created: `requested` genomes were asked for (None for landmarks)."""

    candidates: tuple[Candidate, ...]
    requested: int | None


@dataclass(frozen=True)
class Record:
    """A candidate's outcome on one split: an estimate, or the stage and reason of its failure.

    Attributes:
        number: the candidate's.
        at: seconds since the epoch when it was committed.
        seconds: wall time of merging and scoring.
        scores: in `history` and `held` only; `Archive.scores` reads those of one candidate.
    """

    number: int
    split: Split
    at: float
    seconds: float
    estimate: Estimate | None
    stage: Stage | None
    reason: str | None
    attempts: int | None
    traceback: str | None
    scores: ItemScores | None = None


@dataclass(frozen=True)
class Told:
    """Outcomes arrived, in this order."""

    records: tuple[Record, ...]


def pack_scores(values: NDArray[np.float64]) -> bytes:
    """Pack (n_items,) scores: one bit each when all are 0 or 1, else float32 where exact, else float64.

    A negative zero becomes zero.
    """
    values = values + 0.0
    if np.isin(values, (0.0, 1.0)).all():
        return _BITS + np.packbits(values.astype(bool)).tobytes()
    single = values.astype("<f4")
    if np.array_equal(single.astype(np.float64), values):
        return _FLOAT32 + single.tobytes()
    return _FLOAT64 + values.astype("<f8").tobytes()


def unpack_scores(blob: bytes, n_items: int) -> NDArray[np.float64]:
    """Return the (n_items,) scores that `pack_scores` was given."""
    form, body = blob[:1], blob[1:]
    if form == _BITS:
        if len(body) != -(-n_items // 8):
            raise ValueError(f"expected the bits of {n_items} scores, found {len(body)} bytes")
        return np.unpackbits(np.frombuffer(body, np.uint8), count=n_items).astype(np.float64)
    return np.frombuffer(body, {_FLOAT32: "<f4", _FLOAT64: "<f8"}[form]).astype(np.float64)


def pack_recipe(recipe: Recipe) -> bytes:
    """Pack a recipe."""
    return zlib.compress(recipe.to_json().encode(), 1)


def _inflated(blob: bytes) -> bytes:
    inflater = zlib.decompressobj()
    found = inflater.decompress(blob, _LARGEST)
    if not inflater.eof:
        raise ValueError(f"it has more than {_LARGEST} bytes" if inflater.unconsumed_tail else "it is cut off")
    return found


def unpack_recipe(blob: bytes) -> Recipe:
    """Return the recipe that `pack_recipe` was given."""
    return Recipe.from_json(_inflated(blob).decode())


def pack_genome(genome: object) -> bytes | None:
    """Pack a cube vector of shape (dim,); None for a landmark."""
    return None if genome is None else np.asarray(genome, "<f8").tobytes()


def unpack_genome(blob: bytes | None) -> NDArray[np.float64] | None:
    """Return the vector that `pack_genome` was given, bit for bit."""
    return None if blob is None else np.frombuffer(blob, "<f8")


def pack_estimate(estimate: Estimate) -> str:
    """Pack an estimate as JSON that SQLite's own functions can query: {objective: [value, stderr, items]}.

    A fourth entry, "estimated", stands where the value does not rest on every item of the split. Of a candidate that
    was stopped it is {"objectives": {...}, "stopped": [reason, rival, items, shortfall]}. Weights are the campaign's.
    """
    objectives = {
        o.name: [o.value, o.stderr, o.n_items, *(["estimated"] if o.kind == "estimated" else [])]
        for o in estimate.objectives
    }
    if estimate.stopped is None:
        return json.dumps(objectives)
    return json.dumps({"objectives": objectives, "stopped": astuple(estimate.stopped)})


def unpack_estimate(text: str, split: Split, roles: Mapping[str, Role] = MappingProxyType({})) -> Estimate:
    """Return the estimate that `pack_estimate` was given, now or by an older evomerge, with the campaign's roles."""
    packed: dict[str, Any] = json.loads(text)
    # An objective may be called "objectives": its entry is a list.
    is_stopped = isinstance(packed.get("objectives"), dict)
    objectives: dict[str, list[Any]] = packed["objectives"] if is_stopped else packed
    return Estimate(
        split,
        tuple(_objective(name, entry, roles.get(name, Role())) for name, entry in objectives.items()),
        Stopped(*packed["stopped"]) if is_stopped else None,
    )


def _objective(name: str, entry: list[Any], role: Role) -> ObjectiveEstimate:
    value, stderr, n_items, *more = entry
    sound = isinstance(value, _NUMBER) and isinstance(stderr, _NUMBER) and isinstance(n_items, _NUMBER)
    if not sound:  # fronts compute with them
        raise TypeError(f"objective {name}: expected numbers, found {value!r}, {stderr!r}, {n_items!r}")
    return ObjectiveEstimate(name, value, stderr, n_items, more[0] if more else "full", role.weight, role.cost)


def unpack_record(row: Sequence[Any], roles: Mapping[str, Role], scores: ItemScores | None) -> Record:
    """Return the outcome of a row with its scores; `roles` are those of the campaign's objectives."""
    number, split, at, seconds, objectives, stage, reason, attempts, traceback = row
    if not (isinstance(at, float) and isinstance(seconds, float) and 0 <= at < _YEAR_9999 and math.isfinite(seconds)):
        raise TypeError(f"expected a time and seconds, found {at!r}, {seconds!r}")
    estimate = None if objectives is None else unpack_estimate(objectives, split, roles)
    return Record(number, split, at, seconds, estimate, stage, reason, attempts, traceback, scores)


def pack_work(work: Work) -> str:
    """Pack how a candidate was scored, as JSON that SQLite's own functions can query."""
    seconds = (round(work.merge_seconds, 4), round(work.score_seconds, 4))
    tokens = (work.prompt_tokens, work.generated_tokens)
    return json.dumps([work.node, work.device, *seconds, work.peak_bytes, *tokens, work.together])


def unpack_work(text: str) -> Work:
    """Return what `pack_work` was given, to a tenth of a millisecond, now or by another version of evomerge."""
    packed: list[Any] = json.loads(text)
    node, device, merging, scoring, peak, prompt, generated, together, *_ = [*packed, None, None, None]  # of older ones
    seconds, tokens = (float(merging), float(scoring)), (_whole(prompt), _whole(generated))
    return Work(str(node), str(device), *seconds, _whole(peak), *tokens, int(together or 1))


def _whole(number: Any) -> int | None:
    return None if number is None else int(number)


class ItemSets:
    """Numbers the sets of items of an archive, and remembers them.

    Args:
        connection: of the archive.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._number_of: dict[tuple[str, ...], int] = {}
        self._item_ids: dict[int, tuple[str, ...]] = {}

    def number(self, item_ids: tuple[str, ...]) -> int:
        """Return the number of a set, which is stored if it is new; inside a transaction."""
        if item_ids not in self._number_of:
            digest = item_set_digest(item_ids)
            insert = "INSERT OR IGNORE INTO item_sets (digest, item_ids) VALUES (?, ?)"
            self._connection.execute(insert, (digest, zlib.compress(json.dumps(item_ids).encode())))
            found = self._connection.execute("SELECT id FROM item_sets WHERE digest = ?", (digest,)).fetchone()
            self._number_of[item_ids] = int(found[0])
        return self._number_of[item_ids]

    def item_ids(self, number: int) -> tuple[str, ...]:
        """Return the ids of a set that is stored."""
        if number not in self._item_ids:
            query = "SELECT item_ids, digest FROM item_sets WHERE id = ?"
            found = self._connection.execute(query, (number,)).fetchone()
            if found is None:
                raise ValueError(f"its set of items, {number}, is missing")
            ids = tuple(json.loads(_inflated(found[0])))
            if item_set_digest(ids) != found[1]:
                raise ValueError(f"its set of items, {number}, is not what was committed")
            self._item_ids[number] = ids
        return self._item_ids[number]

    def forget_new(self) -> None:
        """Forget numbers of sets that may not have been stored: a transaction has failed."""
        self._number_of.clear()
