"""The section `merges` of a campaign file: merges that join the parents before a search begins."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field, model_validator
from pydantic_core import InitErrorDetails

from evomerge.config.paths import ExistingFile
from evomerge.fields import SECTION, Text
from evomerge.optimisers.gradient.options import Gradient
from evomerge.spaces.genes import OperatorName
from evomerge.wording import did_you_mean, in_words, mismatch, refuse
from search_spaces.errors import SpaceError
from search_spaces.operators.registry import check_rule, find_operator
from search_spaces.recipes.rule import Input, Rule


class MergeConfig(BaseModel):
    """A merge of the parents that is carried out once, and then is a parent: an operator, a recipe, or a descent."""

    model_config = SECTION

    name: Text
    """What tables and recipes call it."""
    operator: OperatorName | None = None
    """The merge method, at its defaults but for `parameters`; statistics that it reads are collected."""
    parents: tuple[Text, ...] | None = Field(default=None, min_length=1)
    """Names of the parents that it merges; left out: all of `parents`."""
    parameters: dict[str, float | bool | str] = Field(default_factory=dict)
    """Parameters of the operator; what is a parent's own, such as weight, holds for every parent."""
    recipe: ExistingFile | None = None
    """In place of an operator: a mergekit YAML file, or a recipe of ours (.json)."""
    descent: Gradient | None = None
    """In place of an operator: coefficients of task vectors that Adam learns, with the options of the optimiser
    gradient; {per: column} has one for each input column of each matrix. Search items alone are looked at."""

    @model_validator(mode="after")
    def _is_one_merge(self) -> MergeConfig:
        ways = [key for key in ("operator", "recipe", "descent") if getattr(self, key) is not None]
        if len(ways) != 1:
            refuse([mismatch("an operator, a recipe or a descent", " and ".join(ways) or "none of them")])
        foreign = {"operator": (), "recipe": ("parents", "parameters"), "descent": ("parameters",)}[ways[0]]
        said = [key for key in foreign if getattr(self, key)]
        if said:
            refuse([mismatch(f"no such key beside {ways[0]}", in_words(getattr(self, said[0])), at=[said[0]])])
        return self

    def rule(self, parents: Sequence[str]) -> Rule:
        """Return the merge of its own parents, or of all `parents`, as a rule for every tensor.

        Raises:
            SpaceError: the parameters are not the operator's.
        """
        assert self.operator is not None
        row = find_operator(self.operator)
        needed = {key: 1.0 for key, kind in row.input_parameters.items() if key == "weight" and kind.default is None}
        of_each = needed | {key: value for key, value in self.parameters.items() if key in row.input_parameters}
        own = {key: value for key, value in self.parameters.items() if key not in row.input_parameters}
        inputs = tuple(Input(parent, of_each) for parent in self.parents or parents)
        return check_rule(Rule(self.operator, inputs, own))


def merge_problems(
    merges: Sequence[MergeConfig], parents: Sequence[str], taken: Sequence[str], *, has_base: bool
) -> list[InitErrorDetails]:
    """Return what is wrong with the names and parameters of merges; `taken` are names that nobody may have."""
    problems, known = [], [*parents, *taken]
    for i, merge in enumerate(merges):
        if merge.name in known:
            expected = "a name that no parent, no other merge and no landmark has"
            problems.append(mismatch(expected, in_words(merge.name), at=[i, "name"]))
        known.append(merge.name)
        for j, name in enumerate(merge.parents or ()):
            if name not in parents:
                hint = did_you_mean(name, list(parents))
                problems.append(mismatch(f"one of {', '.join(parents)}", in_words(name), hint, at=[i, "parents", j]))
        if merge.descent is not None and not has_base:
            problems.append(mismatch("a base with a descent, which is on task vectors", "none", at=[i, "descent"]))
        if merge.operator is not None:
            kinds = find_operator(merge.operator).kinds
            unknown = [key for key in merge.parameters if key not in kinds]
            problems += [
                mismatch(
                    f"one of {', '.join(kinds)}", f"'{key}'", did_you_mean(key, list(kinds)), at=[i, "parameters", key]
                )
                for key in unknown
            ]
            if unknown:
                continue
            try:
                merge.rule(parents)
            except SpaceError as error:
                problems.append(mismatch("parameters of the operator", str(error), at=[i, "parameters"]))
    return problems
