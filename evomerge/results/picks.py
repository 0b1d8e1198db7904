"""Which candidate each pick of a campaign means: `best`, `knee`, `best:OBJECTIVE`, `winner`.

This is the one place that says so, for the front, the page, the model card, exports and stages. Before a verification
search items choose, landmarks included; after one its picks hold, which validation items chose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evomerge.archive import Archive, Record
from evomerge.campaign.constraints import Constraints
from evomerge.candidate import Candidate
from evomerge.errors import EvomergeError, shortened
from evomerge.results.selected import expected, judged
from evomerge.results.verification.contenders import picks
from evomerge.results.verification.result import Verification
from fitness.scores import Estimate, Split


class PickError(EvomergeError, ValueError):
    """What was asked for cannot be picked."""

    exit_code = 2


@dataclass(frozen=True)
class Picks:
    """What can be picked by name.

    Attributes:
        chosen: pick -> candidate's number: `best`, with several objectives `knee` and `best:OBJECTIVE`, and after a
            verification `winner`.
        by: the items that chose.
        searched: what search items alone choose.
        dropped: pick -> why the verification does not offer it.
        objectives: those that have a pick: all but guards, whose weight is 0.
        guards: the others.
        notes: lines on how these picks came about.
    """

    chosen: Mapping[str, int] = field(default_factory=dict)
    by: Split = "search"
    searched: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    labels: Mapping[int, str] = field(default_factory=dict)  # candidate -> its name, of those that have one

    def __getitem__(self, choice: str) -> int:
        """Return the number of the candidate that a choice names.

        Raises:
            PickError: it is none of the picks, or nothing answers to it.
        """
        pick = self._same(choice)
        if pick in self.chosen:
            return self.chosen[pick]
        if choice == "winner":
            raise PickError("pick: expected a verified winner, found none; run `evomerge verify` first")
        kind, _, objective = choice.partition(":")
        if kind == "best" and objective in self.guards:
            raise PickError(f"pick: {choice} is none: {objective} has weight 0 and decides nothing")
        if not self.searched and (choice in ("knee", "best") or kind == "best"):
            raise PickError("pick: expected scored candidates, found none; run the search first")
        if pick in self.searched:
            why, number = self.dropped.get(pick, "the verification did not pick it"), self.searched[pick]
            raise PickError(
                f"pick: {choice} is not offered since the verification: {why}. Search items alone would name "
                f"{self.name(number)}; to have it, pick {number}"
            )
        if kind == "best" and objective:
            names = ", ".join(self.objectives)
            raise PickError(
                f"pick: expected best:OBJECTIVE with one of {names}, found {shortened(repr(objective), 80)}"
            )
        found = shortened(repr(choice), 80)
        raise PickError(f"pick: expected knee, best, best:OBJECTIVE, winner or a number, found {found}")

    def get(self, choice: str) -> int | None:
        """Return the number of the candidate that a choice names; None where there is none."""
        return self.chosen.get(self._same(choice))

    def of(self, number: int) -> tuple[str, ...]:
        """Return the picks that name a candidate."""
        return tuple(pick for pick, chosen in self.chosen.items() if chosen == number)

    def name(self, number: int) -> str:
        """Return what a candidate is called."""
        return f"candidate {number}" + (f" ({self.labels[number]})" if number in self.labels else "")

    @property
    def in_words(self) -> tuple[str, ...]:
        """Lines: what was picked by which items, and what to know of it; nothing where nothing is scored."""
        if not self.chosen:
            return ()
        grouped: dict[int, list[str]] = {}
        for pick, number in self.chosen.items():
            grouped.setdefault(number, []).append(pick)
        named = "; ".join(f"{', '.join(of_one)}: {self.name(number)}" for number, of_one in grouped.items())
        dropped = (f"{pick} is not offered: {why}" for pick, why in self.dropped.items())
        return (f"picks by {self.by} items: {named}", *dropped, *self.notes)

    def as_json(self) -> dict[str, object]:
        """Return what `evomerge pareto --json` prints under `picks`."""
        return {
            "by": self.by,
            "candidates": dict(self.chosen),
            "dropped": dict(self.dropped),
            "searched": dict(self.searched),
            "notes": list(self.notes),
        }

    def _same(self, choice: str) -> str:
        """Return the pick that a choice is: with one objective, its best, its knee and the best are one."""
        one = len(self.objectives) == 1 and choice in ("knee", f"best:{self.objectives[0]}")
        return "best" if one else choice


def pick(archive: Archive, choice: str) -> Candidate:
    """Return the candidate that a choice names: `knee`, `best`, `best:OBJECTIVE`, `winner`, or a number.

    `best` has the highest weighted mean of the objectives.

    Raises:
        PickError: the choice is not one of these, or nothing answers to it.
        ArchiveError: the candidate's row is damaged, or that of the verification.
    """
    if choice.isascii() and choice.isdecimal():
        return archive.candidate(_number(choice, archive.n_candidates))
    archive.parsed("verification", Verification.from_json)  # a damaged one must not make search items choose
    return archive.candidate(read_picks(archive)[choice])


def read_picks(
    archive: Archive, likely: Mapping[int, Estimate] | None = None, records: Sequence[Record] | None = None
) -> Picks:
    """Return an archive's picks; `likely` is what is expected of candidates, `records` is `judged`, where known."""
    constraints, records = Constraints.of(archive), judged(archive) if records is None else records
    missed = {r.number: constraints.violation(r.estimate) for r in records if r.estimate is not None}
    least, likely = min(missed.values(), default=0.0), expected(archive) if likely is None else likely
    nearest = {number: likely[number] for number, violation in missed.items() if violation == least}
    return picks_among(archive, nearest, n_told=len(records))


def picks_among(archive: Archive, nearest: Mapping[int, Estimate], *, n_told: int) -> Picks:
    """Return an archive's picks, given what search items make expect of the candidates that miss constraints least."""
    searched = _whole(archive, dict(nearest))
    estimate = next(iter(nearest.values()), None)
    counting = () if estimate is None else tuple(o.name for o in estimate.counting)
    guards = () if estimate is None else tuple(o.name for o in estimate.objectives if o.name not in counting)
    labels = {c.number: c.label for c in archive.landmarks() if c.label is not None}
    verification = archive.parsed("verification", Verification.from_json, damaged="skip")
    if verification is None:
        notes = (
            "nothing is verified: they go by what is expected of candidates, less than was observed of lucky ones",
        )
        return Picks(searched, "search", searched, {}, counting, guards, notes, labels)
    if not verification.winners:
        notes = ("an older evomerge verified the winner; its other picks are not recorded",)
        known = {**searched, "winner": verification.winner}
        return Picks(known, "search", searched, {}, counting, guards, notes, labels)
    chosen = {"winner": verification.winner}
    chosen |= {pick: winner.candidate for winner in verification.winners for pick in winner.picks}
    dropped = {one.pick: one.why for one in verification.dropped}
    return Picks(
        chosen, verification.chosen_on, searched, dropped, counting, guards, _age(verification, n_told), labels
    )


def _age(verification: Verification, n_told: int) -> tuple[str, ...]:
    number, then = verification.number, verification.told
    said = f"these are the picks of verification {number}"
    if then is None or then >= n_told:
        return (said,)
    return (f"{said}, of the first {then} of {n_told} candidates: verify again to choose among all",)


def _whole(archive: Archive, known: dict[int, Estimate]) -> dict[str, int]:
    """Return the picks among candidates whose recipes can be read."""
    while known:
        found = picks(known).chosen
        damaged = set(found.values()) - archive.candidates_of(set(found.values())).keys()
        if not damaged:
            return found
        for number in damaged:
            del known[number]
    return {}


def _number(choice: str, n_candidates: int) -> int:
    if len(choice) > len(str(n_candidates)) or int(choice) >= n_candidates:
        raise PickError(
            f"pick: expected a candidate's number, below {n_candidates}, found {shortened(choice, 40)}; "
            "`evomerge pareto` shows those of the front"
        )
    return int(choice)
