"""One vocabulary for parents whose tokenizers differ: every parent's rows are found by token, not by number.

A token that a parent lacks takes the base's row, else the mean of the parents that have it (one parent: its row), so
that no parent pulls a token it never saw away from those that did. Rows without a token (padding of the embedding)
stay each parent's own where it has them, and are the base's otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search_spaces.architecture.vocabulary import config_with_vocabulary, vocabulary_axes
from search_spaces.errors import SpaceError
from search_spaces.parents.checkpoint_files import LazyTensor
from search_spaces.parents.tokenizer_files import read_tokenizer
from search_spaces.recipes.recipe import OutputTokenizer

if TYPE_CHECKING:
    import torch

    from search_spaces.parents.checkpoint import Checkpoint

_TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id")


@dataclass(frozen=True)
class Vocabulary:
    """The merged model's tokens."""

    ids: Mapping[str, int]  # token -> row of the merged model's embedding
    n_rows: int  # rows of the embedding, those without a token included
    source: str  # the parent whose tokenizer files the output begins with
    own: Mapping[str, Mapping[str, int]]  # parent -> token -> row of the parent's embedding

    def added(self) -> list[str]:
        """Return the tokens that the source's tokenizer does not have, in the order of their rows."""
        return sorted(self.ids.keys() - self.own[self.source].keys(), key=self.ids.__getitem__)


@dataclass(frozen=True)
class Fill:
    """Rows of one parent that stand in for rows that another lacks."""

    tensor: LazyTensor  # the parent's embedding or head
    to: torch.Tensor  # (n,) rows of the output
    rows: torch.Tensor  # (n,) rows of `tensor`
    share: torch.Tensor  # (n,) what each is multiplied by, in (0, 1]


@dataclass(frozen=True)
class MappedRows:
    """A parent's embedding or head with the rows of the output vocabulary."""

    tensor: LazyTensor  # as the parent has it, with a row for each of its tokens along `axis`
    rows: torch.Tensor  # (n_rows,) the parent's row of each output row, -1 where it has none
    fills: tuple[Fill, ...]  # what those rows take instead
    axis: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The parent's, with n_rows along the axis."""
        shape = list(self.tensor.shape)
        shape[self.axis] = len(self.rows)
        return tuple(shape)

    @property
    def dtype(self) -> torch.dtype:
        """Return the parent's dtype if all rows are copies from tensors of that dtype, else float32."""
        import torch

        plain = all(f.tensor.dtype == self.tensor.dtype and bool((f.share == 1).all()) for f in self.fills)
        return self.tensor.dtype if plain else torch.float32

    def read(self) -> torch.Tensor:
        """Return a new tensor."""
        import torch

        known = self.rows >= 0
        made = torch.zeros(self.shape, dtype=self.dtype)
        result = made.movedim(self.axis, 0)  # (n_rows, ...), a view
        result[known] = self.tensor.read().movedim(self.axis, 0)[self.rows[known]].to(result.dtype)
        for fill in self.fills:
            rows = fill.tensor.read().movedim(self.axis, 0)[fill.rows].to(result.dtype)
            if not bool((fill.share == 1).all()):
                rows *= fill.share.view(-1, *[1] * (rows.dim() - 1))
            result.index_add_(0, fill.to, rows)
        return made


def output_vocabulary(checkpoints: Mapping[str, Checkpoint], base: str, tokenizer: OutputTokenizer) -> Vocabulary:
    """Return the tokens and rows of a merged model; "base" and "union" begin with the base's."""
    source = base if tokenizer.source in ("base", "union") else tokenizer.source
    assert source is not None
    own = {name: _token_rows(name, checkpoints, base) for name in checkpoints}
    ids = dict(own[source])
    n_rows = _rows(checkpoints[source])
    if tokenizer.source == "union":
        free = max(ids.values(), default=-1) + 1
        for tokens in own.values():
            for token in sorted(tokens.keys() - ids.keys(), key=tokens.__getitem__):
                ids[token], free = free, free + 1
        n_rows = max(n_rows, free)
    n_rows += -n_rows % tokenizer.multiple_of
    return Vocabulary(ids, n_rows, source, own)


def with_vocabulary(checkpoints: Mapping[str, Checkpoint], base: str, vocabulary: Vocabulary) -> dict[str, Checkpoint]:
    """Return the parents with the rows of a vocabulary; a parent that has them already is left as it is.

    The base's config tells the number of rows, and the special tokens of the vocabulary's source.
    """
    special = {key: checkpoints[vocabulary.source].config.get(key) for key in _TOKEN_IDS}
    result = {}
    for name, checkpoint in checkpoints.items():
        config = with_vocabulary_size(checkpoint, vocabulary.n_rows)
        if name == base and vocabulary.source != base:
            config |= {key: value for key, value in special.items() if value is not None or key in config}
        result[name] = checkpoint.having(_mapped(name, checkpoints, base, vocabulary), config)
    return result


def _mapped(
    name: str, checkpoints: Mapping[str, Checkpoint], base: str, vocabulary: Vocabulary
) -> dict[str, LazyTensor]:
    import torch

    rows = _row_map(name, checkpoints, vocabulary)
    if len(rows) == _rows(checkpoints[name]) and bool((rows == torch.arange(len(rows))).all()):
        return {}
    donors = _donors(name, rows, base, vocabulary, checkpoints)
    mapped: dict[str, LazyTensor] = {}
    for role, (tensor, axis) in _tables(checkpoints[name]).items():
        fills = [
            Fill(_table(checkpoints[donor], role), to, found, share) for donor, (to, found, share) in donors.items()
        ]
        mapped[tensor] = MappedRows(checkpoints[name].lazy(tensor), rows, tuple(fills), axis)
    return mapped


def _row_map(name: str, checkpoints: Mapping[str, Checkpoint], vocabulary: Vocabulary) -> torch.Tensor:
    """Return (n_rows,): the parent's row of each output row, -1 where it has none."""
    import torch

    own, named = vocabulary.own[name], set(vocabulary.own[name].values())
    rows = torch.full((vocabulary.n_rows,), -1, dtype=torch.int64)
    with_token = set(vocabulary.ids.values())
    for row in range(min(vocabulary.n_rows, _rows(checkpoints[name]))):
        if row not in with_token and row not in named:
            rows[row] = row  # padding here and there
    found = [(row, own[token]) for token, row in vocabulary.ids.items() if token in own]
    if found:
        to, of = torch.tensor(found).T
        rows[to] = of
    return rows


def _donors(
    name: str, rows: torch.Tensor, base: str, vocabulary: Vocabulary, checkpoints: Mapping[str, Checkpoint]
) -> dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Return parent -> (output rows, its rows, shares) for the rows that a parent lacks."""
    import torch

    tokens = {row: token for token, row in vocabulary.ids.items()}
    found: dict[str, list[tuple[int, int, float]]] = {}
    for row in (rows < 0).nonzero().flatten().tolist():
        token = tokens.get(row)
        having = [other for other, own in vocabulary.own.items() if token in own]
        if token is None and name != base and row < _rows(checkpoints[base]):
            found.setdefault(base, []).append((row, row, 1.0))
            continue
        for other in [base] if base in having else having:
            assert token is not None
            share = 1.0 if base in having else 1.0 / len(having)
            found.setdefault(other, []).append((row, vocabulary.own[other][token], share))
    return {
        other: (
            torch.tensor([to for to, _, _ in entries]),
            torch.tensor([row for _, row, _ in entries]),
            torch.tensor([share for _, _, share in entries]),
        )
        for other, entries in found.items()
    }


def _token_rows(name: str, checkpoints: Mapping[str, Checkpoint], base: str) -> dict[str, int]:
    """Return token -> row, without tokens beyond the embedding.

    A parent without tokenizer files has the base's tokens if it has as many rows.
    """
    rows = _rows(checkpoints[name])
    ids = read_tokenizer(checkpoints[name].tokenizer_directory).ids
    if ids is None and rows == _rows(checkpoints[base]):
        ids = read_tokenizer(checkpoints[base].tokenizer_directory).ids
    if ids is None:
        raise SpaceError(
            f"tokenizer: expected the tokens of parent {name!r} in {checkpoints[name].tokenizer_directory}, found no "
            "tokenizer.json or vocab.json there; save its tokenizer with transformers' save_pretrained"
        )
    return {token: row for token, row in ids.items() if row < rows}


def _rows(checkpoint: Checkpoint) -> int:
    if checkpoint.embedding is None:
        raise SpaceError(f"tokenizer: expected a token embedding in {checkpoint.directory}, found none")
    return checkpoint.shape(checkpoint.embedding)[0]


def with_vocabulary_size(checkpoint: Checkpoint, n_rows: int) -> dict[str, Any]:
    """Return a checkpoint's config with another size of the vocabulary, wherever it says one."""
    main = checkpoint.architecture.main
    return config_with_vocabulary(checkpoint.config, main.level if main else (), n_rows)


def _tables(checkpoint: Checkpoint) -> dict[str, tuple[str, int]]:
    """Return role -> (tensor, axis) of what has a row for every token: embedding, head, and others by their names."""
    assert checkpoint.embedding is not None
    tables = {"embedding": (checkpoint.embedding, 0)}
    if checkpoint.head is not None:
        tables["head"] = (checkpoint.head, 0)
    architecture, n_rows = checkpoint.architecture, _rows(checkpoint)
    main = architecture.main
    axes = vocabulary_axes(checkpoint.config, checkpoint.names, main.level if main else ())
    if axes is None:
        biases = (n for n in checkpoint.names if architecture.locate(n).side == "after")
        axes = {name: 0 for name in biases if checkpoint.shape(name) == (n_rows,)}
    for name, axis in axes.items():
        if checkpoint.shape(name)[axis] != n_rows:
            raise SpaceError(
                f"tokenizer: expected a row for each of {n_rows} tokens in {name} of {checkpoint.directory}, found "
                f"{checkpoint.shape(name)[axis]}; merge parents whose tokens are the same, without a tokenizer source"
            )
        if name not in (checkpoint.embedding, checkpoint.head):
            tables[name] = (name, axis)
    return tables


def _table(checkpoint: Checkpoint, role: str) -> LazyTensor:
    """Return a parent's tensor of a role; a tied parent's head is its embedding."""
    tables = _tables(checkpoint)
    if role not in tables and role != "head":
        raise SpaceError(f"tokenizer: expected a tensor {role} in {checkpoint.directory}, found none")
    return checkpoint.lazy(tables.get(role, tables["embedding"])[0])
