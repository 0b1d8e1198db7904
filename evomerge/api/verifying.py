"""Held-out verification of a run, as an object."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from evomerge.api.texts import frame, held_out_cells, in_html, objective_columns, table_html
from evomerge.archive import Archive
from evomerge.archive.watching import watched
from evomerge.campaign import RunDirectory
from evomerge.campaign.events import Callback, tell_all
from evomerge.campaign.inputs import Inputs
from evomerge.campaign.places import moved_sources, places_of
from evomerge.campaign.run_directory import recorded_config
from evomerge.campaign.trust import check_archive
from evomerge.results.recorded import remarks
from evomerge.results.verification.final import WITHOUT_FINAL, FinalLook
from evomerge.results.verification.held_out_constraints import HeldOutBound, held_out_constraints, noted_constraints
from evomerge.results.verification.result import Row, Verification, VerificationError
from evomerge.results.verification.searched_items import check_held_out
from evomerge.results.verification.verifier import Verifier
from evomerge.workers.sharing import sharing_cores
from fitness.scores import Split

if TYPE_CHECKING:
    import pandas as pd

# Columns of ours; an objective of such a name has a prefix.
_COLUMNS = ("model", "kind", "candidate", "mean", "difference", "low", "high")


@dataclass(frozen=True)
class VerificationReport:
    """The held-out table of a run and what it says.

    Attributes:
        verification: the table, the winners and their verdicts.
        constraints: whether the winner keeps the campaign's constraints on test items.
        final: who the final items were opened for, and what they say; None before.
    """

    verification: Verification
    constraints: tuple[HeldOutBound, ...]
    final: FinalLook | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """Parents, baselines, then winners, on test items."""
        return self.verification.rows

    @property
    def verdict(self) -> str:
        """The winner's, in words."""
        return self.verification.verdict

    @property
    def winner(self) -> int:
        """The number of the candidate that validation items chose."""
        return self.verification.winner

    @property
    def wins(self) -> bool:
        """Whether the winner is shown to be better than every parent and every recipe that costs no search."""
        return self.verification.wins

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a model: kind, objectives, mean, difference to the best parent with its 95 % interval."""
        rows = []
        for row in self.rows:
            columns: dict[str, Any] = {"model": row.name, "kind": row.kind, "candidate": row.candidate}
            columns |= objective_columns(row.objectives, _COLUMNS)
            d = row.difference
            columns |= {"mean": row.mean} | ({} if d is None else {"difference": d.value, "low": d.low, "high": d.high})
            rows.append(columns)
        return frame(rows, "model")

    def to_dict(self) -> dict[str, Any]:
        """Return what `evomerge verify --json` prints."""
        look = self.final
        of_final = None if look is None or look.found is None else _as_dict(look.found, look.constraints)
        final = None if look is None else {"candidate": look.candidate, "result": of_final}
        return {**_as_dict(self.verification, self.constraints), "final": final}

    def _repr_html_(self) -> str:
        return table_html(*held_out_cells(self.verification)) + f"<p>{in_html(self.verdict)}</p>"


def verify(
    directory: RunDirectory,
    *,
    top: int,
    final: bool = False,
    callbacks: Sequence[Callback] = (),
    moved: Mapping[str, str] = MappingProxyType({}),
    trust_tasks: bool = False,
) -> VerificationReport:
    """Score the best candidates, the parents and the baselines on held-out items; with `final` on those, once."""
    from evomerge.api.inputs import check_inputs, note_inputs
    from evomerge.assembly import build_parts, build_pool, with_noted_statistics

    with directory.locked(), contextlib.closing(Archive.open(directory.archive)) as archive:
        check_archive(archive, directory.root, trust=trust_tasks)
        config, say = recorded_config(archive, trust=trust_tasks), partial(tell_all, callbacks)
        archive.find_damage()
        for line in remarks(archive):
            say(line)
        before = noted_verification(archive) if final else None
        if final and config.splits.final == 0.0:
            raise VerificationError(WITHOUT_FINAL)
        if before is not None and before.final is not None and before.final.found is not None:
            say(f"final items were opened before, for candidate {before.final.candidate}: this is what they said then")
            return before
        elsewhere = moved_sources(moved, config.sources)
        places = places_of(config.sources, Inputs.noted(archive), elsewhere, directory.root)
        parts = build_parts(config, places=places, tokens=directory.tokens)
        check_inputs(archive, parts, directory.root, say)
        note_inputs(archive, parts, directory.root)
        if said := check_held_out(archive, parts.fitness):
            say(said, "note items")
        if config.answers != "none":
            splits = parts.fitness.splits.items
            for split, items in splits.items():
                if split != "final" or final:
                    archive.answers.keep_asked(split, partial(parts.fitness.asked, items))
        parts = with_noted_statistics(parts, archive, say=say)
        sharing = sharing_cores(config.workers.count, config.workers.cpus)
        with sharing, contextlib.closing(build_pool(parts, directory.root)) as pool, watched(archive):
            own = config.verification
            verifier = Verifier(archive, pool, parts.estimator, parts.comparison, margin=own.margin, n_masks=own.masks)
            if before is None:
                found = verifier.verify(top, validation=config.splits.validation > 0, watch=say)
                held_out_constraints(archive, found.winner, parts.comparison)
            if final:
                verifier.verify_finally(watch=say)
        report = noted_verification(archive)
    assert report is not None
    return report


def noted_verification(archive: Archive) -> VerificationReport | None:
    """Return what was verified last; None before."""
    noted = archive.parsed("verification", Verification.from_json)
    if noted is None:
        return None
    return VerificationReport(noted, tuple(noted_constraints(archive)), FinalLook.noted(archive))


def _as_dict(found: Verification, constraints: Sequence[HeldOutBound]) -> dict[str, Any]:
    return {
        "number": found.number,
        "rows": [_row_as_dict(row, found.split) for row in found.rows],
        "best_parent": found.best_parent,
        "chosen_on": found.chosen_on,
        "winner": found.winner,
        "wins": found.wins,
        "standing": found.standing,
        "verdict": found.verdict,
        "margin": found.margin,
        "groups": found.n_groups,
        "winners": [asdict(winner) for winner in found.winners],
        "dropped": [asdict(one) for one in found.dropped],
        "told": found.told,
        "constraints": [{**asdict(bound), "holds": bound.holds} for bound in constraints],
    }


def _row_as_dict(row: Row, split: Split) -> dict[str, Any]:
    d = row.difference
    return {
        "name": row.name,
        "candidate": row.candidate,
        "kind": row.kind,
        "objectives": {
            o.name: {"value": o.value, "stderr": o.stderr, "split": split, "items": o.n_items, "kind": o.kind}
            | ({} if o.cost is None else {"cost": o.cost})
            for o in row.objectives
        },
        "mean": row.mean,
        "difference_to_best_parent": None if d is None else {"value": d.value, "low": d.low, "high": d.high},
    }
