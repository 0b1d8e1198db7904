"""Compare the parents' tensors by name, shape and dtype, from the files' headers; their layers; their adapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from search_spaces.parents.checkpoint import Checkpoint, head_is_embedding
from search_spaces.parents.checkpoint_files import ADAPTER_CONFIG

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class PreflightRow:
    """One property of all parents."""

    property: str  # its name
    values: Mapping[str, str]  # parent -> what was found there, for display
    level: Level = "ok"  # whether the parents can be merged in spite of their differences
    note: str = ""  # what differs and what to do; empty when nothing does
    allowed_by: str = ""  # of an error: the key of allow_differences that makes it a warning; empty where none does


def same_as_base(label: str, values: Mapping[str, str], base: str, *, otherwise: Level, advice: str) -> PreflightRow:
    """Return a row that is ok where every parent has the base's value, and otherwise says what a difference means."""
    different = [parent for parent, value in values.items() if value != values[base]]
    if not different:
        return PreflightRow(label, values)
    found = ", ".join(f"{values[parent]} in {parent!r}" for parent in different)
    return PreflightRow(label, values, otherwise, f"expected {values[base]} as in {base!r}, found {found}; {advice}")


def compare_tensors(checkpoints: Mapping[str, Checkpoint], base: str) -> list[PreflightRow]:
    """Return the rows on depth, tensor names, shapes, dtypes and tied embeddings."""
    depths = {name: _in_words(c.architecture.depths) for name, c in checkpoints.items()}
    advice = "only models of one depth merge"
    return [
        same_as_base("layers", depths, base, otherwise="error", advice=advice),
        _names(checkpoints, base),
        _shapes(checkpoints, base),
        _dtypes(checkpoints, base),
        _heads(checkpoints),
    ]


def _names(checkpoints: Mapping[str, Checkpoint], base: str) -> PreflightRow:
    expected = set(_merged(checkpoints[base]))
    notes: list[str] = []
    level: Level = "ok"
    for name, checkpoint in checkpoints.items():
        held = set(_merged(checkpoint))
        lacking = expected - held - ({checkpoints[base].head} if checkpoint.tied else set())
        left_out = held - expected - {checkpoint.head}
        if lacking:
            level = "error"
            notes.append(f"{name!r} lacks {len(lacking)} tensors of {base!r}, among them {min(lacking)}")
        if left_out:
            level = "error" if level == "error" else "warning"
            notes.append(f"{name!r} has {len(left_out)} tensors that the merge leaves out, among them {min(left_out)}")
        if checkpoint.borrowed:
            level = "error" if level == "error" else "warning"
            some = f"{len(checkpoint.borrowed)} tensors, among them {min(checkpoint.borrowed)}"
            notes.append(f"{name!r} has no place for {some}: they stay as they are in {base!r}")
    return PreflightRow("tensors", {n: str(len(c.names)) for n, c in checkpoints.items()}, level, "; ".join(notes))


def _shapes(checkpoints: Mapping[str, Checkpoint], base: str) -> PreflightRow:
    values, notes = {}, []
    donor = checkpoints[base]
    for name, checkpoint in checkpoints.items():
        wrong = [t for t in _merged(donor) if t in checkpoint and checkpoint.shape(t) != donor.shape(t)]
        values[name] = f"{len(wrong)} differ" if wrong else "same"
        if wrong:
            first = min(wrong, key=lambda tensor: tensor != donor.embedding)
            cause = (
                " (the vocabulary has another size: name a base and parents with one tokenizer)"
                if first == donor.embedding
                else ""
            )
            notes.append(
                f"{name!r}: {len(wrong)} tensors differ: expected {donor.shape(first)} for {first}, "
                f"found {checkpoint.shape(first)}{cause}"
            )
    return PreflightRow("shapes", values, "error" if notes else "ok", "; ".join(notes))


def _dtypes(checkpoints: Mapping[str, Checkpoint], base: str) -> PreflightRow:
    values = {}
    for name, checkpoint in checkpoints.items():
        found = {checkpoint.dtype(tensor) for tensor in _merged(checkpoint)}
        values[name] = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in found))
    return same_as_base("dtype", values, base, otherwise="warning", advice="harmless: merging computes in float32")


def _heads(checkpoints: Mapping[str, Checkpoint]) -> PreflightRow:
    values = {
        n: "none" if not c.architecture.has_head else "tied" if c.tied or head_is_embedding(c) else "separate"
        for n, c in checkpoints.items()
    }
    headless = [
        name for name, c in checkpoints.items() if c.head is None and c.architecture.has_head and c.said_tied is False
    ]
    if headless:
        return PreflightRow(
            "output head",
            values,
            "error",
            f"{headless[0]!r}: config.json says tie_word_embeddings: false, but there is no head among its tensors; "
            "set it to true if the model works that way",
        )
    if len({*values.values()} - {"none"}) > 1:
        note = "the output has a head of its own; where it is tied, the embedding is merged as the head"
        return PreflightRow("output head", values, "warning", note)
    if any(c.head is not None and c.tied for c in checkpoints.values()):
        return PreflightRow("output head", values, "warning", "a head that repeats the embedding is left out")
    return PreflightRow("output head", values)


def _merged(checkpoint: Checkpoint) -> list[str]:
    """Return the tensors that an operator makes: all but buffers that are not floating point, and a repeated head."""
    head = checkpoint.head if checkpoint.tied else None
    return [name for name in checkpoint.names if name != head and checkpoint.dtype(name).is_floating_point]


def tell_flaws(checkpoints: Mapping[str, Checkpoint]) -> list[PreflightRow]:
    """Return one row if the files of a checkpoint are not what its module needs; code of its own may need others."""
    flawed = {name: checkpoint for name, checkpoint in checkpoints.items() if checkpoint.flaws}
    if not flawed:
        return []
    values = {name: "flawed" if name in flawed else "whole" for name in checkpoints}
    surely = [name for name, checkpoint in flawed.items() if not checkpoint.brings_code]
    level: Level = "error" if surely else "warning"
    notes = [f"{name!r}: {'; '.join(flawed[name].flaws)}" for name in surely or flawed]
    advice = "download the checkpoint again, or mend its config.json"
    return [PreflightRow("checkpoint", values, level, "; ".join([*notes, advice if surely else "its code may differ"]))]


def tell_guesses(checkpoints: Mapping[str, Checkpoint]) -> list[PreflightRow]:
    """Return one row if what tensors are is a guess from their names, because transformers cannot be asked."""
    # Diffusers' components are no transformers' models, and nothing is asked of their layers.
    asked = {name: c for name, c in checkpoints.items() if "_class_name" not in c.config}
    reasons = {name: checkpoint.architecture.guessed for name, checkpoint in asked.items()}
    first = next((reason for reason in reasons.values() if reason), None)
    if first is None:
        return []
    values = {name: "guessed" if reason else "known" for name, reason in reasons.items()}
    note = f"layers, embedding and head are told from the tensors' names, and none missing can be told: {first}"
    return [PreflightRow("architecture", values, "warning", note)]


def compare_adapters(checkpoints: Mapping[str, Checkpoint]) -> list[PreflightRow]:
    """Return one row if there are adapters; a model of another name under one is a warning, for copies have any."""
    values, notes, unused = {}, [], []
    for name, checkpoint in checkpoints.items():
        if checkpoint.adapter is None:
            values[name] = "none"
            if (checkpoint.directory / ADAPTER_CONFIG).is_file():
                here = checkpoint.source.model
                unused.append(
                    f"{name!r} has an adapter beside its weights that is not used; {here}+{here} puts it on them"
                )
            continue
        trained_on = str(checkpoint.adapter.files.config.get("base_model_name_or_path") or "not said")
        values[name] = f"LoRA for {trained_on}"
        if checkpoint.source.adapter is not None and not _same(trained_on, checkpoint):
            notes.append(f"{name!r} puts an adapter for {trained_on} on {checkpoint.source.model}")
    if not unused and not any(checkpoint.adapter for checkpoint in checkpoints.values()):
        return []
    notes += unused
    return [PreflightRow("adapter", values, "warning" if notes else "ok", "; ".join(notes))]


def _same(trained_on: str, checkpoint: Checkpoint) -> bool:
    if Path(trained_on).is_dir() and Path(trained_on).resolve() == checkpoint.directory:
        return True
    names = {PurePath(checkpoint.source.model).name.lower(), checkpoint.directory.name.lower()}
    return PurePath(trained_on).name.lower() in names


def compare_layers(checkpoints: Mapping[str, Checkpoint], base: str) -> list[PreflightRow]:
    """Return the rows on depth, which may differ, and on the shapes of tensors, wherever in a model they are.

    A tensor of a layer may have any of the shapes that it has in a layer of the base: not all layers of a model need
    be alike.
    """
    depths = {name: str(checkpoint.architecture.depth) for name, checkpoint in checkpoints.items()}
    return [PreflightRow("layers", depths), _shapes_in_any_layer(checkpoints, base)]


def _shapes_in_any_layer(checkpoints: Mapping[str, Checkpoint], base: str) -> PreflightRow:
    expected = _shapes_of(checkpoints[base])
    values, notes = {}, []
    for name, checkpoint in checkpoints.items():
        found = _shapes_of(checkpoint)
        wrong = [tensor for tensor in found if tensor in expected and not found[tensor] <= expected[tensor]]
        inside = {**_inside(checkpoints[base]), **_inside(checkpoint)}
        unknown = [tensor for tensor in found.keys() ^ expected.keys() if inside[tensor]]
        values[name] = f"{len(wrong) + len(unknown)} differ" if wrong or unknown else "same"
        if wrong:
            first = min(wrong, key=lambda tensor: (not inside[tensor], tensor))
            shapes = f"expected {_one_of(expected[first])} for {first} as in {base!r}, found {_one_of(found[first])}"
            notes.append(f"{name!r}: {len(wrong)} tensors differ: {shapes}; only layers of one width can follow others")
        if unknown:
            notes.append(f"{name!r} and {base!r} have layers of different tensors, among them {min(unknown)}")
    return PreflightRow("shapes", values, "error" if notes else "ok", "; ".join(notes))


def _shapes_of(checkpoint: Checkpoint) -> dict[str, set[tuple[int, ...]]]:
    """Return the shapes of each tensor, by its name in the first layer; of embedding and head the width only.

    How many rows these have depends on the vocabulary, which is compared by itself.
    """
    found: dict[str, set[tuple[int, ...]]] = {}
    for name in checkpoint.names:
        shape = checkpoint.shape(name)
        if name in (checkpoint.embedding, checkpoint.head):
            shape = shape[1:]
        found.setdefault(checkpoint.architecture.anywhere(name), set()).add(shape)
    return found


def _inside(checkpoint: Checkpoint) -> dict[str, bool]:
    """Return whether each tensor, by its name in the first layer, is in a layer."""
    architecture = checkpoint.architecture
    return {architecture.anywhere(name): architecture.locate(name).layer is not None for name in checkpoint.names}


def _in_words(depths: Mapping[str, int]) -> str:
    if len(depths) < 2:
        return str(next(iter(depths.values()), 0))
    return ", ".join(f"{depth} ({stack})" for stack, depth in depths.items())


def _one_of(shapes: set[tuple[int, ...]]) -> str:
    return " or ".join(str(shape) for shape in sorted(shapes))
