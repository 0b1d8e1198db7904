"""Evolutionary search for the best merge of language models.

>>> import evomerge as em
>>> run = em.load("runs/mine")
>>> run.front.knee.candidate.number >= 0
True

`evomerge.search` starts a search, `evomerge.load` opens one of before. Names are imported when they are first used, so
that `import evomerge` is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from evomerge.version import __version__ as __version__

if TYPE_CHECKING:
    from evomerge import config as config
    from evomerge import errors as errors
    from evomerge import optimisers as optimisers
    from evomerge import responses as responses
    from evomerge import seeds as seeds
    from evomerge import spaces as spaces
    from evomerge.api.beginning import init as init
    from evomerge.api.doctor import doctor as doctor
    from evomerge.api.front import Front as Front
    from evomerge.api.merging import Merged as Merged
    from evomerge.api.merging import merge as merge
    from evomerge.api.merging import read_recipe as read_recipe
    from evomerge.api.planning import Plan as Plan
    from evomerge.api.planning import plan as plan
    from evomerge.api.reducing import ReductionReport as ReductionReport
    from evomerge.api.reducing import reduce as reduce
    from evomerge.api.run import Run as Run
    from evomerge.api.run import load as load
    from evomerge.api.scoring import Evaluated as Evaluated
    from evomerge.api.scoring import evaluate as evaluate
    from evomerge.api.search import search as search
    from evomerge.api.study import Study as Study
    from evomerge.api.tables import Candidates as Candidates
    from evomerge.api.tables import Items as Items
    from evomerge.api.verifying import VerificationReport as VerificationReport
    from evomerge.campaign import events as events
    from evomerge.campaign.events import CandidateAsked as CandidateAsked
    from evomerge.campaign.events import CandidateFailed as CandidateFailed
    from evomerge.campaign.events import CandidateTold as CandidateTold
    from evomerge.campaign.events import Noted as Noted
    from evomerge.campaign.events import SearchEnded as SearchEnded
    from evomerge.campaign.events import StopSearch as StopSearch
    from evomerge.candidate import Candidate as Candidate
    from evomerge.candidate import Evaluation as Evaluation
    from evomerge.candidate import Failure as Failure
    from evomerge.candidate import Scored as Scored
    from evomerge.config import CampaignConfig as CampaignConfig
    from evomerge.config import ConfigError as ConfigError
    from evomerge.config.template import template as template
    from evomerge.errors import EvomergeError as EvomergeError
    from evomerge.optimisers.niches.module_evolution import ModuleEvolution as ModuleEvolution
    from evomerge.optimisers.niches.niches import Competition as Competition
    from fitness.scores import Estimate as Estimate
    from fitness.scores import ItemScores as ItemScores
    from fitness.scores import ObjectiveEstimate as ObjectiveEstimate
    from search_spaces.recipes.recipe import ParentSource as ParentSource
    from search_spaces.recipes.recipe import Recipe as Recipe
    from search_spaces.recipes.rule import Input as Input
    from search_spaces.recipes.rule import Rule as Rule
    from search_spaces.recipes.rule import Where as Where

_FACE = {
    "evomerge.api.beginning": ("init",),
    "evomerge.api.doctor": ("doctor",),
    "evomerge.api.merging": ("Merged", "merge", "read_recipe"),
    "evomerge.api.planning": ("Plan", "plan"),
    "evomerge.api.reducing": ("ReductionReport", "reduce"),
    "evomerge.api.run": ("Run", "load"),
    "evomerge.api.scoring": ("Evaluated", "evaluate"),
    "evomerge.api.search": ("search",),
    "evomerge.api.study": ("Study",),
    "evomerge.api.front": ("Front",),
    "evomerge.api.tables": ("Candidates", "Items"),
    "evomerge.api.verifying": ("VerificationReport",),
    "evomerge.campaign.events": (
        "CandidateAsked",
        "CandidateFailed",
        "CandidateTold",
        "Noted",
        "SearchEnded",
        "StopSearch",
    ),
    "evomerge.candidate": ("Candidate", "Evaluation", "Failure", "Scored"),
    "evomerge.config": ("CampaignConfig", "ConfigError"),
    "evomerge.config.template": ("template",),
    "evomerge.errors": ("EvomergeError",),
    "evomerge.optimisers.niches.module_evolution": ("ModuleEvolution",),
    "evomerge.optimisers.niches.niches": ("Competition",),
    "fitness.scores": ("Estimate", "ItemScores", "ObjectiveEstimate"),
    "search_spaces.recipes.recipe": ("ParentSource", "Recipe"),
    "search_spaces.recipes.rule": ("Input", "Rule", "Where"),
}
_MODULE_OF = {name: module for module, names in _FACE.items() for name in names}
_ROOMS = ("config", "errors", "optimisers", "responses", "seeds", "spaces")

__all__ = [*sorted(_MODULE_OF), *_ROOMS, "events"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name == "events":
        return importlib.import_module("evomerge.campaign.events")
    if name in _ROOMS:
        return importlib.import_module(f"evomerge.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'evomerge' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
