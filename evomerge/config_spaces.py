"""The section `space` of a campaign file: what can be built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Discriminator, Field, Tag, ValidationInfo, field_validator

from evomerge.config_errors import in_words, mismatch, refuse
from evomerge.config_sections import SECTION, Count, Text
from evomerge.config_space import Gene, Genes, OperatorName, OperatorNames, checked_genes
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
        return checked_genes(genes, info.data.get("operator"))


class NichesConfig(BaseModel):
    """Individuals of M2N2: linear combinations of the parents that change at split points; for kind m2n2 only."""

    model_config = SECTION

    kind: Literal["niches"] = "niches"


def _kind(section: object) -> object:
    return section.get("kind", "weights") if isinstance(section, dict) else getattr(section, "kind", "weights")


SpaceConfig: TypeAlias = Annotated[
    Annotated[WeightsSpaceConfig, Tag("weights")] | Annotated[NichesConfig, Tag("niches")], Discriminator(_kind)
]
