"""How good a model is, item by item.

Tasks have items, items ask a language model (or run it), answers become scores, scores become objectives:

>>> from fitness import Budget, load_tasks, load_tokenizer, make_suite
>>> from transformers import AutoModelForCausalLM
>>> tasks = load_tasks(["words.jsonl"])["words.jsonl"]
>>> suite = make_suite(tasks, tokenizer=load_tokenizer("base"), shares={"search": 0.5, "test": 0.5}, seed=1)
>>> scores = suite.evaluate(AutoModelForCausalLM.from_pretrained("words"), Budget("search"))
>>> len(scores.item_ids)
23

Names are imported when they are first used: `import fitness` loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fitness.engine.language_model import Completion as Completion
    from fitness.engine.language_model import Continuation as Continuation
    from fitness.engine.language_model import Distributions as Distributions
    from fitness.engine.language_model import LanguageModel as LanguageModel
    from fitness.engine.language_model import LogLikelihood as LogLikelihood
    from fitness.engine.language_model import NextTokens as NextTokens
    from fitness.engine.language_model import NextTokensAlong as NextTokensAlong
    from fitness.engine.language_model import Sampling as Sampling
    from fitness.engine.language_model import WholeText as WholeText
    from fitness.engine.lm_eval.lm_eval_backend import EngineLM as EngineLM
    from fitness.engine.model.tokenizer import Tokenizer as Tokenizer
    from fitness.engine.model.tokenizer import load_tokenizer as load_tokenizer
    from fitness.engine.trie import TrieLanguageModel as TrieLanguageModel
    from fitness.errors import FitnessError as FitnessError
    from fitness.estimation import FittedModel as FittedModel
    from fitness.estimation import ItemParameters as ItemParameters
    from fitness.estimation import MeanEstimator as MeanEstimator
    from fitness.estimation import Objective as Objective
    from fitness.protocols import Estimator as Estimator
    from fitness.protocols import Fitness as Fitness
    from fitness.protocols import ModelTask as ModelTask
    from fitness.protocols import ScorableTask as ScorableTask
    from fitness.reduction import Calibration as Calibration
    from fitness.reduction import ReducedBenchmark as ReducedBenchmark
    from fitness.reduction import ReducedEstimator as ReducedEstimator
    from fitness.reduction import ResponseMatrix as ResponseMatrix
    from fitness.reduction import TaskItems as TaskItems
    from fitness.reduction import reduce_benchmark as reduce_benchmark
    from fitness.scores import Budget as Budget
    from fitness.scores import Estimate as Estimate
    from fitness.scores import ItemScores as ItemScores
    from fitness.scores import ObjectiveEstimate as ObjectiveEstimate
    from fitness.scores import Split as Split
    from fitness.screening import Experts as Experts
    from fitness.screening import Screening as Screening
    from fitness.splits import Splits as Splits
    from fitness.statistics import Difference as Difference
    from fitness.statistics import Flips as Flips
    from fitness.statistics import PairedComparison as PairedComparison
    from fitness.statistics import RankCorrelation as RankCorrelation
    from fitness.statistics import paired_difference as paired_difference
    from fitness.statistics import rank_correlation as rank_correlation
    from fitness.tasks.items import MultipleChoice as MultipleChoice
    from fitness.tasks.items import Task as Task
    from fitness.tasks.items import Text as Text
    from fitness.tasks.prompts import Prompts as Prompts
    from fitness.tasks.sources import TaskContext as TaskContext
    from fitness.tasks.sources import load_tasks as load_tasks
    from fitness.tasks.sources import make_suite as make_suite
    from fitness.tasks.suite import TaskResult as TaskResult
    from fitness.tasks.suite import TaskSuite as TaskSuite
    from fitness.tasks.suite import evaluate_tasks as evaluate_tasks
    from fitness.tasks.written_answer import WrittenAnswer as WrittenAnswer
    from fitness.teaching import Lessons as Lessons
    from fitness.teaching import Teaching as Teaching

_FACE = {
    "fitness.engine.language_model": (
        *("Completion", "Continuation", "NextTokens", "NextTokensAlong", "Sampling", "WholeText"),
        *("Distributions", "LanguageModel", "LogLikelihood"),
    ),
    "fitness.engine.lm_eval.lm_eval_backend": ("EngineLM",),
    "fitness.engine.model.tokenizer": ("Tokenizer", "load_tokenizer"),
    "fitness.engine.trie": ("TrieLanguageModel",),
    "fitness.errors": ("FitnessError",),
    "fitness.estimation": ("FittedModel", "ItemParameters", "MeanEstimator", "Objective"),
    "fitness.protocols": ("Estimator", "Fitness", "ModelTask", "ScorableTask"),
    "fitness.reduction": (
        *("Calibration", "ReducedBenchmark", "ReducedEstimator", "ResponseMatrix", "TaskItems", "reduce_benchmark"),
    ),
    "fitness.scores": ("Budget", "Estimate", "ItemScores", "ObjectiveEstimate", "Split"),
    "fitness.screening": ("Experts", "Screening"),
    "fitness.splits": ("Splits",),
    "fitness.statistics": (
        *("Difference", "Flips", "PairedComparison", "RankCorrelation", "paired_difference", "rank_correlation"),
    ),
    "fitness.tasks.items": ("MultipleChoice", "Task", "Text"),
    "fitness.tasks.prompts": ("Prompts",),
    "fitness.tasks.sources": ("TaskContext", "load_tasks", "make_suite"),
    "fitness.tasks.suite": ("TaskResult", "TaskSuite", "evaluate_tasks"),
    "fitness.tasks.written_answer": ("WrittenAnswer",),
    "fitness.teaching": ("Lessons", "Teaching"),
}
_MODULE_OF = {name: module for module, names in _FACE.items() for name in names}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'fitness' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
