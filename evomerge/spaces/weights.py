"""Merges of the parents' weights: the section, and the space that it describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import InitErrorDetails

from evomerge.fields import SECTION, Layers, Text
from evomerge.kinds import constructed
from evomerge.spaces.genes import Gene, Genes, OperatorName, OperatorNames, checked_genes, checked_soup_genes
from evomerge.spaces.options import Ingredients, SpaceOptions
from evomerge.wording import in_words, mismatch, refuse
from search_spaces.operators.operator import Operator
from search_spaces.operators.registry import find_operator
from search_spaces.recipes.groups import Groups
from search_spaces.recipes.rule import ModuleKind

if TYPE_CHECKING:
    from search_spaces.spaces.weight_space import WeightSpace


class GroupOptions(BaseModel):
    """Which tensors share a gene: layer blocks times module kinds."""

    model_config = SECTION

    layer_blocks: Annotated[Layers, Field(ge=1)] = 5
    """Into how many blocks the layers are cut, as evenly as possible; they need not divide the depth."""
    modules: tuple[Literal[ModuleKind, "all", "tensor"], ...] = Field(
        default=("attention", "mlp", "other"), min_length=1
    )
    """Module kinds with genes of their own; embeddings, norms and the head are `other`. What is not listed stays as
    it is in the base. `[all]`: one set of genes per block, whatever the module. `[tensor]`: one per tensor."""
    depth: Literal["constant", "linear"] = "constant"
    """constant: a gene holds for its whole block; linear: genes are knots, interpolated over the layers."""
    stack: Text | None = None
    """Of a model with several stacks (text, vision, audio; encoder, decoder): the only one that is searched, the others
    stay as they are in the base. Left out: all are, each block being the same share of each stack's own depth."""

    @field_validator("modules")
    @classmethod
    def _do_not_overlap(cls, modules: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(modules)) < len(modules) or ({"all", "tensor"} & set(modules) and len(modules) > 1):
            refuse([mismatch("each kind once, or all or tensor alone", in_words(modules))])
        return modules


class Weights(SpaceOptions):
    """The parents' weights are combined tensor by tensor; keys of `groups` may stand beside `operator` as well."""

    kind: Literal["weights"] = "weights"
    operator: OperatorNames = ("task_arithmetic",)
    """The merge method; a list makes the method a gene."""
    operator_per: Literal["model", "group"] = "model"
    """With several operators: one for the whole model, or one for each group."""
    groups: GroupOptions = GroupOptions()
    weights: Literal["free", "simplex", "affine"] = "free"
    """free: one gene per parent. simplex, affine: the weights sum to 1, with one gene fewer than parents and the
    uniform soup in the middle; all positive (simplex) or of either sign (affine). For soups of many checkpoints."""
    genes: Genes = Field(default_factory=dict, validate_default=True)
    """Parameter -> bounds [low, high], a list of choices, or a value that freezes it; or parent -> one of these. Left
    out: bounds that suit the operator, or its default. Several operators share the genes of one name; one that reads
    them between bounds of its own has these under its name, as {regmean: {weight: [0.1, 10]}}."""
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

    @model_validator(mode="before")
    @classmethod
    def _take_keys_of_groups(cls, data: Any) -> Any:
        beside = {key: data[key] for key in GroupOptions.model_fields if key in data} if isinstance(data, dict) else {}
        groups = data.get("groups", {}) if beside else None
        if not isinstance(groups, Mapping | GroupOptions):
            return data
        own = groups.model_dump() if isinstance(groups, GroupOptions) else groups
        return {**{key: value for key, value in data.items() if key not in beside}, "groups": {**own, **beside}}

    @constructed
    def __init__(self, operator: str | Sequence[str] = "task_arithmetic", /, **options: Any) -> None:
        super().__init__(**{"operator": operator, **options})

    @property
    def informed(self) -> tuple[str, ...]:
        """Names of the operators that read statistics of the parents."""
        return tuple(name for name in self.operator if find_operator(name).statistics)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What its operators' defaults do that nobody would expect, a sentence each; nothing where genes cure it."""
        rows = [find_operator(name) for name in self.operator]
        return tuple(f"{row.name}: {row.caution}" for row in rows if row.caution and not self._cures(row))

    def _cures(self, row: Operator) -> bool:
        return any(self.genes.get(name, row.kinds[name].default) != row.kinds[name].default for name in row.cured_by)

    def problems(self, parents: Sequence[str] | None, base: Sequence[str] | None) -> list[InitErrorDetails]:
        """Return what does not suit a campaign's checkpoints."""
        problems = []
        n_parents = 2 if parents is None else len(parents)
        operators = [find_operator(name) for name in self.operator]
        if n_parents != 2 and (pairing := [each.name for each in operators if each.n_inputs == (2, 2)]):
            expected = f"exactly two parents with {' and '.join(pairing)}"
            problems.append(mismatch(expected, str(n_parents), at=["operator"]))
        needing = [each.name for each in operators if each.needs_base]
        needing += ["deltas"] if self.genes.get("deltas", False) is not False else []
        if needing and base is not None and not base:
            hint = "add the key base, or choose linear or slerp"
            problems.append(mismatch(f"a base, which {' and '.join(needing)} need", "none", hint, at=["operator"]))
        return problems

    def build(self, given: Ingredients) -> WeightSpace:
        """Return the space of merges."""
        from search_spaces.spaces.weight_space import WeightSpace

        own = self.groups
        tensors = tuple(given.parents[given.base].names) if own.modules == ("tensor",) else ()
        return WeightSpace(
            given.sources,
            given.base,
            n_layers=given.n_layers,
            operators=self.operator,
            groups=Groups(own.layer_blocks, own.modules, own.depth, tensors, own.stack),
            genes=self.genes,
            operator_per=self.operator_per,
            whole_model=self.whole_model,
            dtype=given.dtype,
            seed=given.seed,
            tokenizer=given.tokenizer,
            merge_base=given.merge_base,
            weights=self.weights,
            statistics=given.statistics,
            merges=given.merges,
            stacks=given.stacks,
        )
