"""Parents: checkpoints on disk, opened lazily and memory-mapped.

Opening reads headers only. A tensor is a view of the file's pages, which the machine's processes share and the system
may drop and read again, so K parents cost no memory of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from search_spaces.errors import SpaceError, few_lines
from search_spaces.parents.alignment import aligned
from search_spaces.parents.checkpoint import Checkpoint, with_own_heads
from search_spaces.parents.vocabulary import Vocabulary, output_vocabulary, with_vocabulary
from search_spaces.recipes.recipe import SHARED_VOCABULARY, OutputTokenizer, ParentSource, Recipe


@dataclass(frozen=True)
class Parents:
    """The checkpoints that recipes name, opened once per process.

    Attributes:
        checkpoints: name -> checkpoint, with the rows of the output's vocabulary.
        tokenizer: the output's, of every recipe that these parents serve.
        vocabulary: the tokens that all checkpoints share by now; None where the parents' rows are taken as they are.
    """

    checkpoints: Mapping[str, Checkpoint]
    tokenizer: OutputTokenizer = SHARED_VOCABULARY
    vocabulary: Vocabulary | None = None

    @staticmethod
    def open(
        sources: Mapping[str, ParentSource],
        *,
        base: str | None = None,
        tokenizer: OutputTokenizer = SHARED_VOCABULARY,
        places: Mapping[str, ParentSource] = MappingProxyType({}),
    ) -> Parents:
        """Open every parent, with tensors named as the base's (`aligned`); all are tied then, or all have a head.

        Args:
            sources: name -> source.
            base: the recipes' base, whose names the tensors have; None: all have their own files' names, and the
                tokenizer has no source.
            tokenizer: the output's; with a source, the parents' embeddings and heads are mapped token by token.
            places: name -> where the files of that source lie now, of parents that moved.

        Raises:
            SpaceError: at least one parent cannot be opened; the message has a line for each of the first that cannot.
                Or the tokens of a parent cannot be read.
        """
        opened, errors = {}, []
        for name, source in sources.items():
            try:
                opened[name] = replace(Checkpoint.open(places.get(name, source)), source=source)
            except SpaceError as error:
                errors.append(f"parent {name!r}: {error}")
        if errors:
            raise SpaceError(few_lines(errors))
        if base is not None:
            opened = aligned(opened, base)
        opened = with_own_heads(opened)
        if tokenizer.source is None:
            return Parents(opened, tokenizer)
        assert base is not None
        vocabulary = output_vocabulary(opened, base, tokenizer)
        return Parents(with_vocabulary(opened, base, vocabulary), tokenizer, vocabulary)

    @staticmethod
    def of(recipe: Recipe, places: Mapping[str, ParentSource] = MappingProxyType({})) -> Parents:
        """Open a recipe's parents, for its tokenizer; see `open`."""
        return Parents.open(recipe.parents, base=recipe.base, tokenizer=recipe.tokenizer, places=places)

    def __getitem__(self, name: str) -> Checkpoint:
        if name not in self.checkpoints:
            raise SpaceError(f"parents: expected one of {sorted(self.checkpoints)}, found {name!r}")
        return self.checkpoints[name]

    def check(self, recipe: Recipe) -> None:
        """Check that a recipe's parents are these."""
        wanted, found = recipe.tokenizer, self.tokenizer
        if (wanted.source, wanted.multiple_of) != (found.source, found.multiple_of):
            raise SpaceError(f"tokenizer: expected {wanted}, but the parents are open for {found}")
        for name, source in recipe.parents.items():
            opened = self[name].source
            if opened != source:
                raise SpaceError(f"parent {name!r}: expected {source}, but {opened} is open under this name")
