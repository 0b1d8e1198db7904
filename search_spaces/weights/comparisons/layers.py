"""Compare what the layers of parents of different depths are made of, and what lies outside them."""

from __future__ import annotations

from collections.abc import Mapping

from search_spaces.groups import locate, n_layers
from search_spaces.weights.comparisons.row import Row
from search_spaces.weights.parents import Checkpoint
from search_spaces.weights.sources import with_layer

Shapes = Mapping[str, set[tuple[int, ...]]]


def compare_layers(checkpoints: Mapping[str, Checkpoint], base: str) -> list[Row]:
    """Return the rows on depth, which may differ, and on the shapes of tensors, wherever in a model they are.

    A tensor of a layer may have any of the shapes that it has in a layer of the base: not all layers of a model need
    be alike.
    """
    depths = {name: str(n_layers(checkpoint.names)) for name, checkpoint in checkpoints.items()}
    return [Row("layers", depths), _shapes(checkpoints, base)]


def _shapes(checkpoints: Mapping[str, Checkpoint], base: str) -> Row:
    expected = _shapes_of(checkpoints[base])
    values, notes = {}, []
    for name, checkpoint in checkpoints.items():
        found = _shapes_of(checkpoint)
        wrong = [tensor for tensor in found if tensor in expected and not found[tensor] <= expected[tensor]]
        unknown = [tensor for tensor in found.keys() ^ expected.keys() if locate(tensor).layer is not None]
        values[name] = f"{len(wrong) + len(unknown)} differ" if wrong or unknown else "same"
        if wrong:
            first = min(wrong, key=lambda tensor: (locate(tensor).layer is None, tensor))
            shapes = f"expected {_one_of(expected[first])} for {first} as in {base!r}, found {_one_of(found[first])}"
            notes.append(f"{name!r}: {len(wrong)} tensors differ: {shapes}; only layers of one width can follow others")
        if unknown:
            notes.append(f"{name!r} and {base!r} have layers of different tensors, among them {min(unknown)}")
    return Row("shapes", values, "error" if notes else "ok", "; ".join(notes))


def _shapes_of(checkpoint: Checkpoint) -> dict[str, set[tuple[int, ...]]]:
    """Return the shapes of each tensor, by its name in the first layer; of embedding and head the width only.

    How many rows these have depends on the vocabulary, which is compared by itself.
    """
    found: dict[str, set[tuple[int, ...]]] = {}
    for name in checkpoint.names:
        shape = checkpoint.shape(name)
        place = locate(name)
        if name in (checkpoint.embedding, checkpoint.head):
            shape = shape[1:]
        anywhere = name if place.layer is None else with_layer(name, 0)
        found.setdefault(anywhere, set()).add(shape)
    return found


def _one_of(shapes: set[tuple[int, ...]]) -> str:
    return " or ".join(str(shape) for shape in sorted(shapes))
