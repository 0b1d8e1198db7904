"""`evomerge.merge` and exports: a recipe is carried out and becomes a checkpoint on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from evomerge.api.arguments import callbacks_of, path_of, several
from evomerge.campaign.events import Callback, tell_all
from evomerge.campaign.places import moved_sources
from evomerge.workers.sharing import sharing_cores
from search_spaces.errors import SpaceError
from search_spaces.recipes.permissions import Permissions
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.recipe_file import recipe_in

if TYPE_CHECKING:
    from search_spaces.mergekit.reading import Reading
    from search_spaces.parents.parents import Parents

MERGEKIT_FILE = "mergekit_config.yml"
Say: TypeAlias = Callable[[str], object]


@dataclass(frozen=True)
class Merged:
    """What was written.

    Attributes:
        directory: absolute.
        rank: of an adapter, the largest of its modules'; None for a whole model.
        error: norm of what an adapter misses of the merge's change, as a share of its norm; 0.0: it is exact.
        worst: (tensor, its own share) where an adapter misses most; ("", 0.0) where nothing is missing.
        notes: what the file says that has no effect, or another one than in mergekit; where the models differ; and
            which files were left out. Each begins with the key.
    """

    directory: Path
    rank: int | None = None
    error: float = 0.0
    worst: tuple[str, float] = ("", 0.0)
    notes: tuple[str, ...] = ()


def merge(  # noqa: PLR0913 -- each is one thing to say
    recipe: str | Path | Recipe,
    out: str | Path,
    *,
    as_adapter: bool = False,
    rank: int | None = None,
    strict: bool = False,
    allow_differences: str | Sequence[str] = (),
    trust_remote_code: bool = False,
    card: bool = True,
    callbacks: Callback | Sequence[Callback] = (),
) -> Merged:
    """Carry out a recipe and write the checkpoint.

    A mergekit file of several documents (mergekit-multi's form) is several merges, carried out in the order in which
    they need each other: the result is the one without a `name`, else the one that no other names.

    Where a method reads what parents compute on prompts (regmean), the file says what they read, under `statistics`;
    what was collected before is not collected again.

    >>> import evomerge as em
    >>> recipe = em.load("runs/mine").front.knee.recipe
    >>> em.merge(recipe, "merged").directory.name
    'merged'

    Args:
        recipe: a file, mergekit's (.yml) or ours (.json); or the recipe itself.
        out: the directory; must not exist, or be empty.
        as_adapter: write a merge of LoRA adapters as one adapter on their base.
        rank: with `as_adapter`: the largest rank of a module; None: the parents' ranks added.
        strict: make errors of what is a note otherwise: keys in mergekit's file that mergekit ignores, or takes for
            something else.
        allow_differences: keys of config.json in which the models may differ: rope_theta, or model_type for llama with
            mistral; the merge takes the base's. Those that the file names are allowed, too.
        trust_remote_code: whether code that lies beside the base (modeling_*.py) is copied; it is not run. Else
            auto_map, which names it, is left out of config.json.
        card: whether to write README.md and mergekit_config.yml beside a whole model, as mergekit does.
        callbacks: told in words what takes time.

    Raises:
        SpaceError: the recipe cannot be read or carried out, or its result is no adapter.
        FitnessError: what parents are to read cannot be read.
    """
    from evomerge.api.several_merges import merge_several
    from search_spaces.mergekit.reading import Reading, interpreted

    if rank is not None and not as_adapter:
        raise SpaceError(f"rank: expected none without as_adapter, found {rank}")
    directory = path_of("out", out)
    say: Say = partial(tell_all, callbacks_of(callbacks))
    allowed = several("allow_differences", allow_differences, "keys of config.json, as ['rope_theta']")
    permissions = Permissions(tuple(allowed), trust_remote_code)
    if isinstance(recipe, Recipe):
        reading = Reading(recipe, permissions=permissions)
        return carry_out(reading, directory, as_adapter=as_adapter, rank=rank, strict=strict, say=say, card=card)
    file = path_of("recipe", recipe)
    documents = _documents(file)
    if len(documents) == 1:
        [one] = documents
        reading = Reading(one) if isinstance(one, Recipe) else interpreted(one, file, strict=strict)
        reading = replace(reading, permissions=reading.permissions | permissions)
        return carry_out(reading, directory, as_adapter=as_adapter, rank=rank, strict=strict, say=say, card=card)
    if as_adapter:
        raise SpaceError(f"{file}: expected one merge with as_adapter, found {len(documents)} documents")
    return merge_several(file, documents, directory, strict=strict, permissions=permissions, say=say)


@sharing_cores()
def carry_out(
    reading: Reading,
    directory: Path,
    *,
    as_adapter: bool = False,
    rank: int | None = None,
    strict: bool,
    say: Say,
    card: bool = False,
) -> Merged:
    """Write what a recipe describes, after reading what its parents are to read."""
    from evomerge.assembly.recipe_statistics import informed_recipe
    from search_spaces.output.export import export
    from search_spaces.output.export_adapter import export_adapter
    from search_spaces.parents.parents import Parents

    parents = Parents.of(reading.recipe)
    notes = [*reading.remarks, *_checked(reading, parents, strict=strict), *_unused(reading)]
    recipe = informed_recipe(reading.recipe, parents, reading.requested, say=say)
    if not as_adapter:
        code = reading.permissions.remote_code
        readme, extra = _card(recipe, parents, directory.name) if card else (None, {})
        target = export(
            recipe, parents, directory, model_card=readme, extra_files=extra, remote_code=code, say=notes.append
        )
        return Merged(target, notes=tuple(notes))
    done = export_adapter(recipe, parents, directory, rank=rank)
    return Merged(done.directory, done.rank, done.error, done.worst, tuple(notes))


def _card(recipe: Recipe, parents: Parents, name: str) -> tuple[str, dict[str, str]]:
    """Return the card, and the file that mergekit writes beside it, where it can say the recipe."""
    from evomerge.results.card_metadata import card_beside, inherited
    from evomerge.results.merge_card import merge_card

    text = _for_mergekit(recipe, parents)
    taken_over = inherited({one: card_beside(parents[one].directory) for one in recipe.parents})
    return merge_card(recipe, name, text, taken_over), {} if text is None else {MERGEKIT_FILE: text}


def _for_mergekit(recipe: Recipe, parents: Parents) -> str | None:
    """Return the recipe in mergekit's language; None: it cannot be said there."""
    from search_spaces.mergekit.writing import to_mergekit

    try:
        return to_mergekit(recipe, parents)
    except SpaceError:
        return None


def _unused(reading: Reading) -> tuple[str, ...]:
    from search_spaces.operators.recipe_facts import kinds_read

    if reading.requested is None or kinds_read(reading.recipe.rules):
        return ()
    operators = ", ".join(dict.fromkeys(rule.operator for rule in reading.recipe.rules))
    return (f"statistics: nothing was read, as {operators} knows no more than weights; leave the key out",)


def read_recipe(path: str | Path) -> Recipe:
    """Return the recipe in a file, ours (.json) or mergekit's.

    Raises:
        SpaceError: there is no such file, or it holds no recipe, or several.
    """
    return read_with_request(path).recipe


def read_with_request(path: str | Path) -> Reading:
    """Return the recipe in a file, with what parents are to read, and remarks; see `read_recipe`."""
    from search_spaces.mergekit.reading import Reading, read_with_remarks

    file = path_of("recipe", path)
    return Reading(recipe_in(file)) if _is_ours(file) else read_with_remarks(file)


def _documents(file: Path) -> list[object]:
    """Return the documents of mergekit's file, or the recipe in one of ours."""
    from search_spaces.mergekit.reading import read_documents

    return [recipe_in(file)] if _is_ours(file) else read_documents(file)


def _is_ours(file: Path) -> bool:
    if not file.is_file():
        raise SpaceError(f"{file}: expected a recipe (mergekit YAML, or JSON of ours), found no such file")
    return file.suffix == ".json"


@sharing_cores()
def export_candidate(
    path: Path,
    choice: str,
    out: Path,
    *,
    moved: Mapping[str, str] = MappingProxyType({}),
    callbacks: Sequence[Callback] = (),
) -> Path:
    """Write one candidate of an archive as a checkpoint, with a card that tells how it was found; see `Run.export`."""
    from evomerge.api.inputs import candidates_parents
    from evomerge.archive import Archive
    from evomerge.archive.campaign_text import campaign_settings
    from evomerge.campaign.origin import NOTE, is_ours
    from evomerge.results.card_metadata import card_beside, inherited
    from evomerge.results.model_card import model_card
    from evomerge.results.picks import pick
    from evomerge.results.recorded import remarks
    from evomerge.results.verification.result import Verification
    from search_spaces.operators.registry import operators_by_dotpath
    from search_spaces.output.export import export

    with contextlib.closing(Archive.read(path)) as archive, contextlib.ExitStack() as context:
        if not is_ours(archive.noted(NOTE)):  # a dotpath of a recipe's would import what its author likes
            context.enter_context(operators_by_dotpath(()))
        candidate = pick(archive, choice)
        recipe = candidate.recipe
        say = partial(tell_all, callbacks)
        for line in remarks(archive):
            say(line)
        parents, places = candidates_parents(path, recipe, moved_sources(moved, recipe.parents), say)
        if recipe.statistics:
            from evomerge.assembly.informed import restore_statistics

            restore_statistics(archive, recipe, places)
        verification = archive.parsed("verification", Verification.from_json, damaged="skip")
        mergekit = _for_mergekit(recipe, parents)
        taken_over = inherited({name: card_beside(parents[name].directory) for name in recipe.parents})
        card = model_card(archive, candidate, verification, mergekit_yaml=mergekit, taken_over=taken_over)
        code = campaign_settings(archive.campaign).get("trust_remote_code") is True
        extra = {} if mergekit is None else {MERGEKIT_FILE: mergekit}
        return export(recipe, parents, out, model_card=card, extra_files=extra, remote_code=code)


def _checked(reading: Reading, parents: Parents, *, strict: bool) -> list[str]:
    """Return rules without effect, and what the preflight warns of; raise what it refuses."""
    from search_spaces.checks.preflight import preflight
    from search_spaces.layers.sources import unmatched_filters

    recipe, allowed = reading.recipe, reading.permissions.differences
    notes = [f"filter: {part!r} is in no tensor's name: ignored" for part in unmatched_filters(recipe, parents)]
    if strict and notes:
        raise SpaceError(f"strict: {notes[0]}")
    found = preflight(parents, recipe.base, read_weights=False, stacked=recipe.layers is not None, allowed=allowed)
    found.raise_for_errors()
    return [*notes, *(f"{row.property}: {row.note}" for row in found.warnings)]
