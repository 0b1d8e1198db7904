"""What parents compute on prompts, collected once on a machine: fitness reads, search_spaces sums, files keep it.

The digest of a parent's statistics names what they follow from: the contents of its weights, the prompts that it reads,
and what a model computes in. What it writes after a prompt follows from these, so that a digest is known before any
pass, and is the same in every process.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from evomerge.assembly.collection import Collection, needed_bytes
from evomerge.workers.sharing import sharing_cores
from fitness.engine.language_model import NextTokens
from fitness.engine.trie import TrieLanguageModel
from fitness.reading import PassageReader, Questions, find_owners, write_passages
from search_spaces.cache_directory import cache_directory, keep_text
from search_spaces.errors import SpaceError
from search_spaces.parents.content import content_digest, file_digest
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import OutputTokenizer
from search_spaces.statistics.store import StatisticsStore, together

if TYPE_CHECKING:
    from torch import nn

    from fitness.screening import Prompt
    from search_spaces.statistics.store import Kind

# To be raised whenever prompts are read or statistics are computed in another way.
VERSION = 3
OWNERS_VERSION = 3  # the same for whose tasks are whose


def settings(dtype: str, tokenizer: OutputTokenizer) -> str:
    """Return what a parent's activations depend on besides its weights and prompts, for `Gathering`."""
    return f"{dtype} {tokenizer.source}"


@dataclass(frozen=True)
class Statistics:
    """What operators read of some parents.

    Attributes:
        digests: parent -> name of its statistics in the store; empty where no operator reads any.
        owners: task -> the parent that read its prompts; tasks of no owner were read by all.
    """

    digests: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Gathering:
    """Everything that statistics of some parents follow from.

    Attributes:
        parents: opened.
        names: of those whose statistics are wanted.
        kinds: which statistics.
        questions: what is read.
        language_model: reads it.
        become: returns a live model of one parent, maybe the same module each time.
        purpose: the operators that read them, in words.
        settings: what a parent's activations depend on besides its weights and prompts.
        moments: parent -> file with Adam's second moments.
        experts: of `names`, those whose own a task may be; empty: all.
    """

    parents: Parents
    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    questions: Questions
    language_model: TrieLanguageModel
    become: Callable[[str], nn.Module]
    purpose: str
    settings: str = ""
    moments: Mapping[str, str] = field(default_factory=dict)
    experts: tuple[str, ...] = ()

    def digest(self, name: str, owners: Mapping[str, str]) -> str:
        """Return what names one parent's statistics."""
        read = self._asked(self.questions.of(name, owners))
        moments = [file_digest(Path(self.moments[name]))] if name in self.moments else []
        said = [VERSION, content_digest(self.parents[name]), self.settings, read, moments]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def _asked(self, prompts: Sequence[Prompt]) -> list[tuple[str, list[int]]]:
        """Return what is read, as text and as tokens: another tokenizer may read other tokens."""
        texts = [prompt.text if isinstance(prompt, NextTokens) else prompt.prompt for prompt in prompts]
        return list(zip(map(repr, prompts), map(self.language_model.tokenizer.encode, texts), strict=True))

    @sharing_cores()
    def gather(
        self, owners: Mapping[str, str] | None = None, *, say: Callable[[str], object] = lambda _: None
    ) -> Statistics:
        """Collect what the store lacks, and return all digests.

        Args:
            owners: as an earlier gathering found them; None finds them.
            say: told what is done, where it takes time.

        Raises:
            FitnessError: prompts cannot be read, or a model's outputs are not finite.
            SpaceError: statistics cannot be collected of the parents' layers, or not be written.
        """
        owners = self._owners(say) if owners is None else owners
        digests = {name: self.digest(name, owners) for name in self.names}
        store, whole = StatisticsStore(), together(digests.values())
        lacking = {
            name: tuple(kind for kind in self.kinds if not store.holds(digest, kind, whole))
            for name, digest in digests.items()
        }
        if any(lacking.values()):
            n = sum(len(self.questions.of(name, owners)) for name in self.names if lacking[name])
            say(f"reading {n} prompts with {sum(map(bool, lacking.values()))} parents: statistics for {self.purpose}")
            try:
                Collection(self, digests, owners).collect(lacking)
            except OSError as error:
                raise SpaceError(
                    f"statistics: expected a cache to write to, found: {error}; set EVOMERGE_CACHE to a directory with "
                    "room for them"
                ) from error
        return Statistics(digests, dict(owners))

    def memory_bytes(self) -> int:
        """Return what collecting takes at most beside a live model, by the shapes of one parent's tensors."""
        return needed_bytes(self.parents[self.names[0]], self.kinds)

    def in_words(self, name: str, owners: Mapping[str, str]) -> str:
        """Return what one parent reads."""
        return f"{len(self.questions.of(name, owners))} prompts of {', '.join(self.questions.read_by(name, owners))}"

    def reader(self, name: str, owners: Mapping[str, str]) -> PassageReader:
        """Let one parent write after its prompts, and return what reads it all."""
        model = self.become(name)
        passages = write_passages(self.language_model, model, self.questions.of(name, owners))
        reader = PassageReader(self.language_model, passages)
        reader.prepare(model)
        return reader

    def _owners(self, say: Callable[[str], object]) -> dict[str, str]:
        """Return whose prompts each task's are; what was measured on this machine before is not measured again."""
        if not self.questions.unowned:
            return dict(self.questions.owners)
        asked = [[task, self._asked(prompts)] for task, prompts in self.questions.prompts.items()]
        experts = self.experts or self.names
        weights = [[name, content_digest(self.parents[name])] for name in experts]
        said = [
            OWNERS_VERSION,
            weights,
            self.settings,
            asked,
            sorted(self.questions.owners.items()),
            self.questions.shared,
        ]
        digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()
        kept = cache_directory("statistics") / "owners" / f"{digest}.json"
        with contextlib.suppress(OSError, ValueError):  # none, or a torn one: they are asked again
            return cast("dict[str, str]", json.loads(kept.read_text(encoding="utf-8")))
        say("asking the parents whose tasks are whose")
        found = find_owners(self.questions, experts, self.language_model, self.become)
        with contextlib.suppress(OSError):  # it only saves time
            keep_text(kept, json.dumps(found))
        return found
