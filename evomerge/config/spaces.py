"""The section `space` of a campaign file: what can be built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Discriminator, Field, Tag, ValidationInfo, field_validator
from pydantic_core import InitErrorDetails

from evomerge.config.errors import in_words, mismatch, refuse
from evomerge.config.genes import (
    EXACTLY_TWO,
    NEEDS_BASE,
    Gene,
    Genes,
    OperatorName,
    OperatorNames,
    checked_genes,
    checked_soup_genes,
)
from evomerge.config.layer_flow import LayerFlowConfig
from evomerge.config.sections import SECTION, Count, Text
from search_spaces.layer_path import MERGED
from search_spaces.recipe import ModuleKind


class GroupsConfig(BaseModel):
    """Which tensors share a gene: layer blocks times module kinds."""

    model_config = SECTION

    layer_blocks: Count = 5
    """Into how many blocks the layers are cut, as evenly as possible; they need not divide the depth."""
    modules: tuple[Literal[ModuleKind, "all"], ...] = Field(default=("attention", "mlp", "other"), min_length=1)
    """Module kinds with genes of their own; embeddings, norms and the head are `other`. What is not listed stays as
    it is in the base. `[all]`: one set of genes per block, whatever the module."""
    depth: Literal["constant", "linear"] = "constant"
    """constant: a gene holds for its whole block; linear: genes are knots, interpolated over the layers."""

    @field_validator("modules")
    @classmethod
    def _do_not_overlap(cls, modules: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(modules)) < len(modules) or ("all" in modules and len(modules) > 1):
            refuse([mismatch("each kind once, or all alone", in_words(modules))])
        return modules


class WeightsSpaceConfig(BaseModel):
    """The parents' weights are combined tensor by tensor."""

    model_config = SECTION

    kind: Literal["weights"] = "weights"
    operator: OperatorNames = ("ties",)
    """The merge method; a list makes the method a gene."""
    operator_per: Literal["model", "group"] = "model"
    """With several operators: one for the whole model, or one for each group."""
    groups: GroupsConfig = GroupsConfig()
    weights: Literal["free", "simplex", "affine"] = "free"
    """free: one gene per parent. simplex, affine: the weights sum to 1, with one gene fewer than parents and the
    uniform soup in the middle; all positive (simplex) or of either sign (affine). For soups of many checkpoints."""
    genes: Genes = Field(default_factory=dict, validate_default=True)
    """Parameter -> bounds [low, high], a list of choices, or a value that freezes it; or parent -> one of these. Left
    out: bounds that suit the operator, or its default."""
    whole_model: tuple[Text, ...] = ()
    """Genes with one value for the whole model instead of one per group."""

    @field_validator("operator")
    @classmethod
    def _are_different(cls, operators: tuple[OperatorName, ...]) -> tuple[OperatorName, ...]:
        if len(set(operators)) < len(operators):
            refuse([mismatch("each operator once", in_words(operators))])
        return operators

    @field_validator("genes")
    @classmethod
    def _suit_the_operators(cls, genes: Mapping[str, Gene], info: ValidationInfo) -> Mapping[str, Gene]:
        weights = info.data.get("weights", "free")
        if weights == "free":
            return checked_genes(genes, info.data.get("operator"))
        return checked_soup_genes(genes, info.data.get("operator"), weights)


class JointConfig(BaseModel):
    """A merge of all parents, and a path through its layers and the parents' own, searched at once."""

    model_config = SECTION

    kind: Literal["joint"] = "joint"
    merge: WeightsSpaceConfig = WeightsSpaceConfig()
    """The merged model, as a space of kind weights describes it."""
    flow: LayerFlowConfig = LayerFlowConfig()
    """The path, as a space of kind layer_flow describes it; `merged` is among the sources."""

    @field_validator("merge")
    @classmethod
    def _is_the_same_for_a_block(cls, merge: WeightsSpaceConfig) -> WeightsSpaceConfig:
        if merge.groups.depth == "linear":
            hint = "a path that leaves out a knot's layer would not tell the knot's genes"
            refuse([mismatch("constant in a joint space", "'linear'", hint, at=["groups", "depth"])])
        return merge


class NichesConfig(BaseModel):
    """Individuals of M2N2: linear combinations of the parents that change at split points; for the optimiser m2n2."""

    model_config = SECTION

    kind: Literal["niches"] = "niches"


def _kind(section: object) -> object:
    return section.get("kind", "weights") if isinstance(section, dict) else getattr(section, "kind", "weights")


SpaceConfig: TypeAlias = Annotated[
    Annotated[WeightsSpaceConfig, Tag("weights")]
    | Annotated[LayerFlowConfig, Tag("layer_flow")]
    | Annotated[JointConfig, Tag("joint")]
    | Annotated[NichesConfig, Tag("niches")],
    Discriminator(_kind),
]


def space_problems(
    space: SpaceConfig, parents: Sequence[str] | None, *, base: Sequence[str] | None
) -> list[InitErrorDetails]:
    """Return what does not suit a campaign's checkpoints.

    Args:
        space: the section.
        parents: their names; None where they are wrong themselves.
        base: its name, if there is one; None where it is wrong itself.
    """
    if isinstance(space, WeightsSpaceConfig):
        return _weights_problems(space, parents, base=base, at=[])
    if isinstance(space, NichesConfig) or parents is None:
        return []
    names = [*(base or ()), *parents]
    if isinstance(space, LayerFlowConfig):
        return space.problems(names, joint=False, at=[])
    problems = _weights_problems(space.merge, parents, base=base, at=["merge"])
    if MERGED in names:
        problems.append(mismatch(f"no parent called {MERGED}, as the merged model is", in_words(MERGED), at=["kind"]))
    return problems + space.flow.problems(names, joint=True, at=["flow"])


def _weights_problems(
    space: WeightsSpaceConfig, parents: Sequence[str] | None, *, base: Sequence[str] | None, at: list[str]
) -> list[InitErrorDetails]:
    problems = []
    n_parents = 2 if parents is None else len(parents)
    pairing = [operator for operator in space.operator if operator in EXACTLY_TWO]
    if pairing and n_parents != 2:
        expected = f"exactly two parents with {' and '.join(pairing)}"
        problems.append(mismatch(expected, str(n_parents), at=[*at, "operator"]))
    needing = [operator for operator in space.operator if operator in NEEDS_BASE]
    needing += ["deltas"] if space.genes.get("deltas", False) is not False else []
    if needing and base is not None and not base:
        hint = "add the key base, or choose linear or slerp"
        problems.append(mismatch(f"a base, which {' and '.join(needing)} need", "none", hint, at=[*at, "operator"]))
    return problems
