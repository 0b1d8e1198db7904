"""Compare parents before anything is evaluated: can they be merged, and what should the user know?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from search_spaces.checks.companions import compare_companions
from search_spaces.checks.configs import compare_configs
from search_spaces.checks.kinship.kept import kinship_of
from search_spaces.checks.kinship.traits import LOCKED, ParentTraits, preflight_row, traits_of
from search_spaces.checks.tensors import (
    Level,
    PreflightRow,
    compare_adapters,
    compare_layers,
    compare_tensors,
    tell_flaws,
    tell_guesses,
)
from search_spaces.checks.tokenizers import compare_tokenizers
from search_spaces.errors import SpaceError, shortened
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.parents import Parents

__all__ = ["Level", "ParentTraits", "Preflight", "PreflightRow", "preflight"]
_MOST_TOLD = 3


@dataclass(frozen=True)
class Preflight:
    """The table of what the parents share and where they differ.

    Attributes:
        rows: one per property, the most basic first; settings that are the same everywhere have none.
        parents: what each parent is to the base and to the others; empty where no weights were read.
    """

    rows: tuple[PreflightRow, ...]
    parents: tuple[ParentTraits, ...] = ()

    @property
    def errors(self) -> list[PreflightRow]:
        """The rows that make a merge meaningless or impossible."""
        return [row for row in self.rows if row.level == "error"]

    @property
    def warnings(self) -> list[PreflightRow]:
        """The rows with differences that a merge survives."""
        return [row for row in self.rows if row.level == "warning"]

    def raise_for_errors(self) -> None:
        """Do nothing if the parents can be merged.

        Raises:
            SpaceError: they cannot; one line per error for the first ones, in five lines at most.
        """
        if not self.errors:
            return
        lines = [f"{row.property}: {shortened(row.note, 400)}" for row in self.errors[:_MOST_TOLD]]
        names = dict.fromkeys(row.property for row in self.errors[_MOST_TOLD:])
        more = f"and {len(self.errors) - _MOST_TOLD} more ({shortened(', '.join(names))})" if names else ""
        keys = dict.fromkeys(row.allowed_by for row in self.errors)
        can_be_allowed = "" not in keys  # else the others would still be there
        hint = f"to merge them as they are: allow_differences: [{', '.join(keys)}]" if can_be_allowed else ""
        lines += ["; ".join(filter(None, (more, hint)))] if more or hint else []
        raise SpaceError("\n".join(["the parents cannot be merged:", *lines]))


def preflight(
    parents: Parents,
    base: str,
    *,
    read_weights: bool = True,
    stacked: bool = False,
    allowed: Collection[str] = (),
    unmade: Collection[str] = (),
) -> Preflight:
    """Compare every parent with the base.

    Args:
        parents: opened, the base among them.
        base: the name of the parent that donates config and tokenizer.
        read_weights: whether to read every tensor once, look for NaN and infinity, compare it with the base's, and keep
            what was found and the files' digests: it is read no more.
        stacked: whether the output takes its layers from several depths, so that the parents' depths may differ.
        allowed: settings, e.g. rope_theta or model_type, whose differences are warnings: the merge takes the base's;
            and `locked`, for parents whose authors made merges of them worthless.
        unmade: parents that another one stands for as long as they are not made: their weights say nothing.

    Raises:
        SpaceError: there is no such base, a tokenizer file is not JSON, or a setting is allowed that no parent has.
    """
    checkpoints = {base: parents[base], **parents.checkpoints}
    rows = [
        *tell_flaws(checkpoints),
        *compare_configs(checkpoints, base, per_layer=not stacked, allowed=[key for key in allowed if key != LOCKED]),
        *(compare_layers if stacked else compare_tensors)(checkpoints, base),
        *tell_guesses(checkpoints),
        *compare_adapters(checkpoints),
        *compare_companions(checkpoints, base),
        *compare_tokenizers(checkpoints, base, parents.vocabulary),
    ]
    if not read_weights:
        return Preflight(tuple(rows))
    made = {name: checkpoint for name, checkpoint in checkpoints.items() if name not in unmade}
    kinship = kinship_of(made, base, parents.tokenizer)
    traits = traits_of(kinship, base)
    rows += [_finite(made, kinship.not_finite), preflight_row(traits, base, allowed)]
    return Preflight(tuple(rows), traits)


def _finite(checkpoints: Mapping[str, Checkpoint], bad: Mapping[str, str]) -> PreflightRow:
    values = {name: f"NaN or infinity in {bad[name]}" if name in bad else "finite" for name in checkpoints}
    note = "; ".join(f"parent {name!r} has {values[name]}" for name in bad)
    return PreflightRow("values", values, "error" if bad else "ok", note)
