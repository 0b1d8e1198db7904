"""Compare the parents' tensors by name, shape and dtype, from the files' headers."""

from __future__ import annotations

from collections.abc import Mapping

from search_spaces.groups import n_layers
from search_spaces.weights.comparisons.row import Level, Row, same_as_base
from search_spaces.weights.heads import head_is_embedding
from search_spaces.weights.parents import Checkpoint


def compare_tensors(checkpoints: Mapping[str, Checkpoint], base: str) -> list[Row]:
    """Return the rows on depth, tensor names, shapes, dtypes and tied embeddings."""
    depths = {name: str(n_layers(c.names)) for name, c in checkpoints.items()}
    advice = "only models of one depth merge"
    return [
        same_as_base("layers", depths, base, otherwise="error", advice=advice),
        _names(checkpoints, base),
        _shapes(checkpoints, base),
        _dtypes(checkpoints, base),
        _heads(checkpoints),
    ]


def _names(checkpoints: Mapping[str, Checkpoint], base: str) -> Row:
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
    return Row("tensors", {n: str(len(c.names)) for n, c in checkpoints.items()}, level, "; ".join(notes))


def _shapes(checkpoints: Mapping[str, Checkpoint], base: str) -> Row:
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
    return Row("shapes", values, "error" if notes else "ok", "; ".join(notes))


def _dtypes(checkpoints: Mapping[str, Checkpoint], base: str) -> Row:
    values = {}
    for name, checkpoint in checkpoints.items():
        found = {checkpoint.dtype(tensor) for tensor in _merged(checkpoint)}
        values[name] = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in found))
    return same_as_base("dtype", values, base, otherwise="warning", advice="harmless: merging computes in float32")


def _heads(checkpoints: Mapping[str, Checkpoint]) -> Row:
    values = {n: "tied" if c.tied or head_is_embedding(c) else "separate" for n, c in checkpoints.items()}
    headless = [n for n, c in checkpoints.items() if c.head is None and c.config.get("tie_word_embeddings") is False]
    if headless:
        return Row(
            "output head",
            values,
            "error",
            f"{headless[0]!r}: config.json says tie_word_embeddings: false, but there is no head among its tensors; "
            "set it to true if the model works that way",
        )
    if len(set(values.values())) > 1:
        note = "the output has a head of its own; where it is tied, the embedding is merged as the head"
        return Row("output head", values, "warning", note)
    if any(c.head is not None and c.tied for c in checkpoints.values()):
        return Row("output head", values, "warning", "a head that repeats the embedding is left out")
    return Row("output head", values)


def _merged(checkpoint: Checkpoint) -> list[str]:
    """Return the tensors that an operator makes: all but buffers that are not floating point, and a repeated head."""
    head = checkpoint.head if checkpoint.tied else None
    return [name for name in checkpoint.names if name != head and checkpoint.dtype(name).is_floating_point]
