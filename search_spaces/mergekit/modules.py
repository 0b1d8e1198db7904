"""mergekit's `modules`, the parts of models that have several: which stack of the architecture each of them is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from search_spaces.architecture.architecture import Architecture, Stack
from search_spaces.errors import SpaceError
from search_spaces.mergekit.document import Slice
from search_spaces.operators.registry import nearest_name

BETWEEN = ""  # what belongs to no stack, as places have it
_TEXT = ("text_decoder", "text_model", "language_model", "llm")
# Names in mergekit's definitions of architectures -> stacks here. `default` is what has no module of its own.
_STACKS: Mapping[str, str] = {
    **dict.fromkeys(_TEXT, "text"),
    **dict.fromkeys(("vision_tower", "vision_model", "vision_encoder", "visual"), "vision"),
    **dict.fromkeys(("audio_tower", "audio_model", "audio_encoder"), "audio"),
    **dict.fromkeys(("multi_modal_projector", "connector", "shared", "default"), BETWEEN),
}


def stack_of(module: str, architecture: Architecture) -> str | None:
    """Return the stack that a module is: "" for what belongs to none; None for the whole model, which has one stack.

    A module is named as in mergekit's definitions, like a stack here, or by what its layers' names begin with.
    """
    stacks = {stack.name: stack for stack in architecture.stacks}
    name = _STACKS.get(module, module)
    if len(stacks) < 2:
        if name in (BETWEEN, *stacks, "text") or _begins(module, architecture.stacks):
            return None
    elif name == BETWEEN or name in stacks:
        return name
    begun = _begins(module, architecture.stacks)
    if begun is not None:
        return begun
    known = [*stacks, *(alias for alias, stack in _STACKS.items() if stack in stacks or stack == BETWEEN)]
    raise SpaceError(f"modules: expected names among {', '.join(known)}, found {module!r}{nearest_name(module, known)}")


def _begins(module: str, stacks: Sequence[Stack]) -> str | None:
    """Mergekit calls the modules of an architecture that it does not know by what their layers' names begin with."""
    begin = f"{module.rstrip('.')}."
    return next((stack.name for stack in stacks if begin in stack.prefixes), None)


def keeps_layers(slices: Sequence[Slice], depth: int) -> bool:
    """Return whether slices take every layer once, in its order, from all sources."""
    start = 0
    for part in slices:
        if part.n_layers is None:
            return True
        if any(source.first_layer != start for source in part.sources):
            return False
        start += part.n_layers
    return start == depth


def check_kept(slices: Sequence[Slice], stack: str, architecture: Architecture) -> None:
    """Do nothing for slices of the main stack, and for those that keep another's layers."""
    depths = architecture.depths
    if stack in depths and stack != next(iter(depths)) and not keeps_layers(slices, depths[stack]):
        raise SpaceError(
            f"{slices[0].key}: expected all layers of {stack} in their order, [0, {depths[stack]}], found others; only "
            f"the layers of {next(iter(depths))} can be chosen"
        )
