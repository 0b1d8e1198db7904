"""The section `stages` of a campaign file: searches that follow each other, each with the winner of the one before.

The hybrid of Akiba et al., "Evolutionary Optimization of Model Merging Recipes" (arXiv:2403.13187): weights first, then
the flow of layers through the result and the other parents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic_core import InitErrorDetails

from evomerge.config.errors import ConfigProblem
from evomerge.config.kinds import OPTIMISER_NAMES, OptimiserSection, SpaceSection
from evomerge.config.sections import BudgetConfig, DirectoryName, ParentConfig
from evomerge.config.yaml_document import Document
from evomerge.fields import SECTION, Text
from evomerge.wording import did_you_mean, in_words, mismatch, refuse

if TYPE_CHECKING:
    from evomerge.config import CampaignConfig

# What every stage says for itself, or leaves to its defaults: at the top it would be read by none.
OWN_SECTIONS = ("space", "optimiser")


class StageConfig(BaseModel):
    """One search of several."""

    model_config = SECTION

    name: DirectoryName
    """What its winner is called where it joins the parents of the next stage."""
    space: SpaceSection
    """What can be built."""
    optimiser: OptimiserSection | None = Field(default=None, validation_alias=OPTIMISER_NAMES)
    """Who proposes genomes; left out: as in a campaign of one stage."""
    budget: BudgetConfig | None = None
    """When it stops; left out: the campaign's budget."""
    parents: tuple[Text, ...] | None = Field(default=None, min_length=2)
    """Names of the models to merge, winners of earlier stages among them; left out: the last winner and all parents."""
    pick: Text = "knee"
    """The winner, as `evomerge export --pick` names it: knee, best, best:OBJECTIVE; judged on search items."""

    @field_validator("pick")
    @classmethod
    def _names_a_point_of_the_front(cls, pick: str) -> str:
        if pick not in ("knee", "best") and not (pick.startswith("best:") and pick != "best:"):
            refuse([mismatch("knee, best or best:OBJECTIVE", in_words(pick))])
        return pick


def stage_config(config: CampaignConfig, index: int, winners: Mapping[str, str]) -> CampaignConfig:
    """Return the campaign of one stage, as if it stood alone in its file.

    Args:
        config: a campaign with stages.
        index: of the stage.
        winners: names of earlier stages -> the checkpoints of their winners.

    Raises:
        ValidationError: the stage's sections do not suit its parents.
    """
    stage = config.stages[index]
    models = {name: ParentConfig(model=path, name=name) for name, path in winners.items()}
    models |= {parent.name: parent for parent in config.parents}
    own = {"space": stage.space, "optimiser": stage.optimiser, "budget": stage.budget}
    data: dict[str, Any] = {
        **{key: value for key, value in config if key not in OWN_SECTIONS},
        **{key: section for key, section in own.items() if section is not None},
        **{"name": f"{config.name}, {stage.name}", "stages": ()},
        "parents": [models[name] for name in _merged(config, index)],
    }
    return type(config).model_validate(data)


def stand_ins(config: CampaignConfig, index: int) -> dict[str, str]:
    """Return the winners before a stage as long as there are none: the first parent, which has their form."""
    return {stage.name: config.parents[0].model for stage in config.stages[:index]}


def stage_problems(config: CampaignConfig, document: Document) -> list[ConfigProblem]:
    """Return what is wrong with the stages of a campaign that is right otherwise."""
    from evomerge.config.problems import problems_of

    assert isinstance(document.data, dict)
    top = [key for key in OWN_SECTIONS if config.stages and key in document.data]
    problems = [
        ConfigProblem(*document.locate((key,)), "no such key beside stages", in_words(key), "every stage has its own")
        for key in top
    ]
    for index in range(len(config.stages)):
        try:
            stage_config(config, index, stand_ins(config, index))
        except ValidationError as error:
            problems += problems_of(error, type(config), document, at=("stages", index))
    return problems


def name_problems(stages: tuple[StageConfig, ...], parents: tuple[str, ...]) -> list[InitErrorDetails]:
    """Return what is wrong with the names that stages give and use.

    Args:
        stages: of the campaign.
        parents: names that are taken.
    """
    known, problems = list(parents), []
    for i, stage in enumerate(stages):
        if stage.name in known:
            problems.append(
                mismatch("a name that no parent and no other stage has", in_words(stage.name), at=[i, "name"])
            )
        for j, name in enumerate(stage.parents or ()):
            if name not in known:
                hint = did_you_mean(name, known)
                problems.append(mismatch(f"one of {', '.join(known)}", in_words(name), hint, at=[i, "parents", j]))
        known.append(stage.name)
    return problems


def _merged(config: CampaignConfig, index: int) -> list[str]:
    """Return the names of the models that a stage merges."""
    chosen = config.stages[index].parents
    if chosen is not None:
        return list(dict.fromkeys(chosen))
    last = [config.stages[index - 1].name] if index else []
    return [*last, *(parent.name for parent in config.parents)]
