"""The families of the table: where their models and tasks lie, and a bench that merges and scores them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

import evomerge as em
from experiments.operators.letters import LETTERS
from experiments.quickstart import tasks as quickstart
from experiments.quickstart import train as quickstart_training
from experiments.smollm import tasks as smollm
from experiments.smollm import train as smollm_training
from fitness import Budget, Split, load_tasks, load_tokenizer, make_suite
from search_spaces import OPERATORS, FactorCache, MergeMemory, Parents, ResidentModel, build_module, n_layers

BASE = "base"
MODELS_DIRECTORY = Path(__file__).parent / "models"
Dtype = Literal["float32", "bfloat16", "float16"]
N_TIMED = 3  # merges with everything remembered that are timed; the fastest counts


@dataclass(frozen=True)
class Family:
    """A base, experts of it, and a task file for each thing that experts are good at.

    Attributes:
        directory: of the models.
        experts: names of directories in it.
        tasks: the task files.
        n_search, n_test: items of each task that a seed draws, to tune on and to test on.
        dtype: what merges are rounded to.
    """

    name: str
    directory: Path
    experts: tuple[str, ...]
    tasks: tuple[Path, ...]
    n_search: int = 20
    n_test: int = 100
    dtype: Dtype = "float32"

    @property
    def sources(self) -> dict[str, em.ParentSource]:
        """The base, then the experts."""
        return {name: em.ParentSource(str(self.directory / name)) for name in (BASE, *self.experts)}

    @property
    def splits(self) -> dict[Split, float]:
        """Shares of each task's items: to search on, to choose a winner by (as many), and to test on."""
        n = len(self.tasks[0].read_text(encoding="utf-8").splitlines())
        return {"search": self.n_search / n, "validation": self.n_search / n, "test": self.n_test / n}

    def train(self) -> None:
        """Train what is missing; SmolLM2's experts take half an hour."""
        if self.name in LETTERS:
            LETTERS[self.name].train(self.directory)
        elif self.name == "quickstart":
            quickstart_training.train_all(self.directory)
        else:
            smollm_training.train_all("wheel", self.directory)


def _letters(name: str) -> Family:
    directory = MODELS_DIRECTORY / name
    made = LETTERS[name]
    tasks = tuple(directory / "tasks" / f"{task}.jsonl" for task in made.instructions)
    return Family(name, directory, tuple(made.experts), tasks)


def _files(directory: Path, names: Sequence[str]) -> tuple[Path, ...]:
    return tuple(directory / f"{name}.jsonl" for name in names)


_QUICKSTART, _SMOLLM = tuple(quickstart.INSTRUCTIONS), tuple(smollm.TASKS)
FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            "quickstart",
            quickstart_training.MODELS_DIRECTORY,
            _QUICKSTART,
            _files(quickstart.TASKS_DIRECTORY, _QUICKSTART),
        ),
        *map(_letters, LETTERS),
        Family(
            "smollm",
            smollm_training.MODELS_DIRECTORY,
            _SMOLLM,
            _files(smollm.TASKS_DIRECTORY, _SMOLLM),
            n_search=20,
            n_test=60,
            dtype="bfloat16",
        ),
    )
}


@dataclass(frozen=True)
class Seconds:
    """Processor seconds of one merge: the first of these parents, and later ones."""

    first: float
    cached: float


class Bench:
    """A family's live model, and the items that one seed draws."""

    def __init__(self, family: Family, seed: int) -> None:
        """Open the parents and prepare the items."""
        self.family, self.seed = family, seed
        self.parents = Parents.open(family.sources, base=BASE)
        self.n_layers = n_layers(self.parents[BASE].names)
        self._model = build_module(self.parents[BASE])
        self._resident = ResidentModel(self._model, self.parents)
        tasks = [task for group in load_tasks([str(path) for path in family.tasks]).values() for task in group]
        tokenizer = load_tokenizer(self.parents[BASE].directory)
        # By place: exactly as many items as the family says.
        self._suite = make_suite(tasks, tokenizer=tokenizer, shares=family.splits, seed=seed, drawn="by_place")
        self._task_of = self._suite.task_of

    def items(self, split: Split) -> tuple[str, ...]:
        """Return the ids of the items that the seed draws."""
        return self._suite.splits.items[split]

    def score(self, recipe: em.Recipe, split: Split) -> dict[str, float]:
        """Return task -> share of right answers on the seed's `search` or `test` items.

        Raises:
            EvomergeError: the recipe cannot be carried out, or a score is not finite.
        """
        self._resident.become(recipe)
        scores = self._suite.evaluate(self._model, Budget(split))
        tasks = np.array([self._task_of[item] for item in scores.item_ids])
        return {str(task): float(scores.values[tasks == task].mean()) for task in np.unique(tasks)}

    def statistics(self, operator: str) -> tuple[dict[str, str], float]:
        """Collect what an operator reads of the parents on the seed's search prompts, as a campaign does.

        Returns:
            Parent -> digest, and the processor seconds that opening the campaign took; next to none where all was
            collected before.

        Raises:
            EvomergeError: what the operator reads is no matter of prompts, or there are none.
        """
        if not OPERATORS[operator].statistics:
            return {}, 0.0
        sources, family = self.family.sources, self.family
        began = time.process_time()
        with (
            tempfile.TemporaryDirectory() as nowhere,
            em.Study(
                parents={expert: sources[expert] for expert in family.experts},
                base=sources[BASE],
                objectives={path.stem: path for path in family.tasks},
                space={"operator": operator, "groups": {"layer_blocks": 1, "modules": ["all"]}},
                optimiser="random",
                seed=self.seed,
                splits={str(split): share for split, share in family.splits.items()} | {"drawn": "by_place"},
                export={"dtype": family.dtype},
                workers={"cpus": 1},
                run_dir=nowhere,
            ) as study,
        ):
            taken = time.process_time() - began
            while not (candidate := study.ask()) or not candidate.recipe.statistics:
                assert candidate is not None, "random search proposes as long as it is asked"
            return dict(candidate.recipe.statistics), taken

    def seconds(self, recipe: em.Recipe, others: Sequence[em.Recipe]) -> Seconds:
        """Time a merge with nothing remembered, then others like it, each after the base alone."""
        alone = em.Recipe(recipe.parents, BASE, (em.Rule("passthrough", (em.Input(BASE),)),), dtype=recipe.dtype)
        with tempfile.TemporaryDirectory() as nowhere:
            memory = MergeMemory(factors=FactorCache(Path(nowhere)))
            resident = ResidentModel(self._model, self.parents, memory=memory)
            taken = []
            for each in (recipe, *others[:N_TIMED]):
                resident.become(alone)
                began = time.process_time()
                resident.become(each)
                taken.append(time.process_time() - began)
        return Seconds(taken[0], min(taken[1:], default=taken[0]))
