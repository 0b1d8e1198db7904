"""A campaign's terrain: a live model of coefficients, what the experts say on search items, and the way to genomes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evomerge.assembly.live_models import alone, module_to_fill, searched_section
from evomerge.config import CampaignConfig
from evomerge.optimisers import OptimiserError
from evomerge.optimisers.terrain import Course, Terrain
from evomerge.spaces import Weights
from fitness.engine.language_model import DEFAULT_BUDGET
from fitness.errors import FitnessError
from fitness.estimation import Objective
from fitness.screening.experts import Experts
from fitness.tasks.suite import TaskSuite
from search_spaces.operators.registry import find_operator
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import Groups
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Input, Rule
from search_spaces.spaces.weight_space import WeightSpace

if TYPE_CHECKING:
    from torch import nn

    from fitness.teaching import Lessons
    from search_spaces.live.coefficients import CoefficientModel

TEMPERATURE = 1.0  # of kl
_PASS = (512, 8192)  # tokens of a forward pass, at least and at most
_ENOUGH = 2048  # tokens that a pass should have before layers are computed twice for it


@dataclass(frozen=True)
class Setting:
    """What a terrain is made of.

    Attributes:
        config: resolved.
        parents: opened.
        space: whose genomes stand for coefficients; None where there is none.
        suite: of every task.
        objectives: in the config's order.
    """

    config: CampaignConfig
    parents: Parents
    space: Any
    suite: TaskSuite
    objectives: tuple[Objective, ...]


def build_terrain(setting: Setting, course: Course) -> Terrain:
    """Build a live model, let the experts answer, and return the loss over coefficients.

    Raises:
        OptimiserError: the space is none of task vectors' weights.
    """
    import torch

    from search_spaces.live.coefficients import CoefficientModel

    config, section = setting.config, searched_section(setting.config)
    space = _checked(setting.space)
    module = module_to_fill(config, setting.parents)
    lessons = taught(setting, course, module)
    own = section.groups if isinstance(section, Weights) else None
    assert own is not None
    merged = list(dict.fromkeys(str(gene.parent) for gene in space.gene_names() if gene.parameter == "weight"))
    model = CoefficientModel(
        module,
        setting.parents,
        base=config.base_name,
        merged=merged,
        per=course.per,
        groups=Groups()
        if own.modules == ("tensor",)
        else Groups(own.layer_blocks, own.modules, own.depth, stack=own.stack),
        bounds=(0.0, 1.0) if course.clamp else None,
        dtype=config.export.dtype,
    )
    low, high = _bounds(space, merged)
    wide = np.full_like(low, math.inf)
    ends = (-wide, wide) if course.clamp else (low, high)

    def genome(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return _nearest(space, model.recipe(torch.from_numpy(values)))

    return terrain_of(model, lessons, course, ends, genome)


def terrain_of(
    model: CoefficientModel,
    lessons: Lessons,
    course: Course,
    ends: tuple[NDArray[np.float64], NDArray[np.float64]],
    genome: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Terrain:
    """Return the loss over a live model's coefficients, which stay between two ends."""
    import torch

    def learn(values: NDArray[np.float64], step: int) -> tuple[float, NDArray[np.float64]]:
        model.become(torch.from_numpy(values))
        loss = lessons.backward(model.model, lessons.batch(step, size=course.batch, seed=course.seed))
        return loss, model.slope().numpy()

    def held_back(values: NDArray[np.float64]) -> float:
        model.become(torch.from_numpy(values))
        return lessons.held_back_loss(model.model)

    return Terrain(model.shape, *ends, learn, held_back, genome)


def _checked(space: object) -> WeightSpace:
    if not isinstance(space, WeightSpace):
        raise OptimiserError(
            f"gradient, as a start or a landmark, expects a space of kind weights, found {type(space).__name__}; leave "
            "it out"
        )
    if not any(find_operator(name).needs_base for name in space.operators):
        raise OptimiserError(
            "gradient, as a start or a landmark, expects an operator of task vectors, found "
            f"{', '.join(space.operators)}; take task_arithmetic, or leave it out"
        )
    return space


def _bounds(space: WeightSpace, merged: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of each parent's weight, (n_parents, 1); those of the first group count."""
    ends = {gene.parent: gene.values for gene in reversed(space.gene_names()) if gene.parameter == "weight"}
    both = np.array([[float(value) for value in ends[parent]] for parent in merged])
    return both[:, :1], both[:, 1:]


def _nearest(space: WeightSpace, recipe: Recipe) -> NDArray[np.float64]:
    """Return the genome of a linear merge; where the space has another operator, that of the same weights."""
    name = next(name for name in space.operators if find_operator(name).needs_base)
    rules = tuple(rule if rule.operator == "passthrough" else _as(name, rule) for rule in recipe.rules)
    return np.clip(np.asarray(space.encode(replace(recipe, rules=rules)), dtype=np.float64), 0.0, 1.0)


def _as(operator: str, rule: Rule) -> Rule:
    """Return the rule with another operator; one that divides by the weights has their sum for its scale."""
    row = find_operator(operator)
    normalize = row.parameters.get("normalize")
    divides = row.divides_by_weights == "always" or (normalize is not None and normalize.default is True)
    total = sum(float(given.parameters["weight"]) for given in rule.inputs)
    inputs = tuple(Input(i.parent, {"weight": float(i.parameters["weight"])}) for i in rule.inputs)
    return Rule(operator, inputs, {"lambda": total} if divides and total > 0 else {}, rule.where)


def taught(setting: Setting, course: Course, module: nn.Module) -> Lessons:
    """Return the lessons, the experts' answers known; the module's weights are some expert's then."""
    from fitness.engine.trie import TrieLanguageModel
    from fitness.teaching import Lessons, Teaching
    from search_spaces.live.resident import ResidentModel

    config, suite = setting.config, setting.suite
    engine = suite.language_model
    if not isinstance(engine, TrieLanguageModel):
        raise FitnessError("gradient: descends on what models write after a text, which only decoders of text do")
    tokens, twice = _pass_size(config, module)
    named = zip(config.objectives, setting.objectives, strict=True)
    lessons = Lessons(
        suite,
        setting.objectives,
        tokenizer=engine.tokenizer,
        experts=Experts(
            engine,
            [parent.name for parent in config.parents],
            list(config.sources),
            {task: o.expert for o, objective in named if o.expert in config.sources for task in objective.tasks},
        ),
        teaching=Teaching(
            course.objective, course.items, course.held_back, TEMPERATURE, tokens=tokens, checkpointing=twice
        ),
    )
    resident = ResidentModel(module, setting.parents)

    def become(checkpoint: str) -> nn.Module:
        resident.become(alone(config, checkpoint))
        return module

    lessons.learn(become)
    return lessons


def _pass_size(config: CampaignConfig, module: nn.Module) -> tuple[int, bool]:
    """Return the tokens of a pass that `engine.memory` (auto: 4 GiB) takes, and whether layers are computed twice.

    With hidden size h and inner size i a layer keeps about 16h + 4i numbers a token, or with checkpointing h.
    """
    given = getattr(module, "config", None)
    hidden = int(getattr(given, "hidden_size", 0) or 1024)
    inner = int(getattr(given, "intermediate_size", 0) or 4 * hidden)
    layers = int(getattr(given, "num_hidden_layers", 0) or 32)
    size = 4 if config.engine.dtype == "float32" else 2
    each = size * (16 * hidden + 4 * inner)
    memory = config.engine.memory or DEFAULT_BUDGET
    tokens, twice = memory // (layers * each), False
    if tokens < _ENOUGH:
        tokens, twice = memory // (layers * size * hidden + each), True
    return min(max(tokens, _PASS[0]), _PASS[1]), twice
