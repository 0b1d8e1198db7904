"""What an adapter makes of a checkpoint: its tensors and its config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search_spaces.architecture.levels import with_tie
from search_spaces.errors import SpaceError
from search_spaces.parents.adapter_files import AdapterFiles
from search_spaces.parents.adapter_places import AdapterPlaces
from search_spaces.parents.checkpoint_files import LazyTensor
from search_spaces.parents.lora import Adapter, match_adapter
from search_spaces.parents.vocabulary import with_vocabulary_size

if TYPE_CHECKING:
    from search_spaces.parents.checkpoint import Checkpoint


def adapt(plain: Checkpoint, files: AdapterFiles) -> tuple[Adapter, dict[str, LazyTensor], dict[str, Any]]:
    """Return an adapter that has found its places, and tensors and config of the checkpoint with it.

    Raises:
        SpaceError: it does not fit.
    """
    adapter = match_adapter(files, plain)
    embedding = plain.embedding
    tensors = adapter.applied({name: plain.lazy(name) for name in plain.names}, embedding)
    config = dict(plain.config)
    if embedding is None or embedding not in adapter.changed:
        return adapter, tensors, config
    if tensors[embedding].shape != plain.shape(embedding):
        config = with_vocabulary_size(plain, tensors[embedding].shape[0])
    head = AdapterPlaces.of(plain).own_head
    if head is None or head in adapter.changed or not plain.tied:
        return adapter, tensors, config
    # The head shares the embedding's module: it follows what is done to that, but not a module put in its place.
    if embedding in adapter.saved and not files.config.get("ensure_weight_tying"):
        tensors[head] = plain.lazy(embedding)
        config = with_tie(config, plain.architecture.head_level, tied=False)
        rows, kept = tensors[embedding].shape[0], tensors[head].shape[0]
        if rows != kept:
            raise SpaceError(
                f"{files.directory}: expected a head for the embedding's {rows} tokens, found none, and the base's has "
                f"{kept}; save the adapter with the head in modules_to_save"
            )
    elif head in plain:
        tensors[head] = tensors[embedding]
    return adapter, tensors, config
