"""The sections of a campaign file, each checked on its own; `config.py` checks them against each other.

The docstring under each key is its description in `campaign.schema.json`, which editors show.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    JsonValue,
    Strict,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from evomerge.config_errors import did_you_mean, in_words, mismatch, refuse
from evomerge.config_paths import ModelSource
from evomerge.config_space import Gene, Genes, OperatorName, OperatorNames, checked_genes
from fitness.engine.budget import DEFAULT_BUDGET
from search_spaces.recipe import ExportDtype, ModuleKind, ParentSource

SECTION = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

Whole: TypeAlias = Annotated[int, Strict()]
Real: TypeAlias = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
Count: TypeAlias = Annotated[Whole, Field(ge=1)]
PositiveReal: TypeAlias = Annotated[Real, Field(gt=0)]
Share: TypeAlias = Annotated[Real, Field(ge=0, le=1)]


class ModelConfig(BaseModel):
    """A checkpoint: a directory or a hub id."""

    model_config = SECTION

    model: ModelSource
    """A hub id, or a directory that holds config.json and safetensors files."""
    revision: Text | None = None
    """The hub revision to pin."""
    adapter: ModelSource | None = None
    """A LoRA adapter on it: a hub id, or a directory that holds adapter_config.json."""
    adapter_revision: Text | None = None
    """The adapter's hub revision to pin."""

    @property
    def source(self) -> ParentSource:
        """Where the weights come from."""
        return ParentSource(self.model, self.revision, self.adapter, self.adapter_revision)


class ParentConfig(BaseModel):
    """A checkpoint to merge."""

    model_config = SECTION

    model: ModelSource
    """A hub id, or a directory that holds config.json and safetensors files, or a LoRA adapter with its base named."""
    revision: Text | None = None
    """The hub revision to pin."""
    adapter: ModelSource | None = None
    """A LoRA adapter on it: a hub id, or a directory that holds adapter_config.json."""
    adapter_revision: Text | None = None
    """The adapter's hub revision to pin."""
    name: Text = Field(
        default_factory=lambda data: PurePath(data.get("adapter") or data.get("model", "")).name, validate_default=True
    )
    """What tables and recipes call it; left out: the last part of `adapter`, else of `model`."""

    @property
    def source(self) -> ParentSource:
        """Where the weights come from."""
        return ParentSource(self.model, self.revision, self.adapter, self.adapter_revision)


def as_mapping(value: object) -> object:
    """Read a model written as text alone."""
    return {"model": value} if isinstance(value, str) else value


BaseSource: TypeAlias = Annotated[ModelConfig, BeforeValidator(as_mapping, json_schema_input_type=str | ModelConfig)]
ParentSourceConfig: TypeAlias = Annotated[
    ParentConfig, BeforeValidator(as_mapping, json_schema_input_type=str | ParentConfig)
]


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


class SpaceConfig(BaseModel):
    """What can be built."""

    model_config = SECTION

    kind: Literal["weights"] = "weights"
    """weights: the parents' weights are combined tensor by tensor."""
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


class OptimiserConfig(BaseModel):
    """Who proposes genomes. Further keys go to the library (pycma, pymoo) by its own names."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True, hide_input_in_errors=True)
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    kind: Literal["cma_es", "nsga2", "random"]
    """cma_es maximises the weighted mean of the objectives; nsga2 looks for the Pareto front; random is a baseline."""
    population: Annotated[Whole, Field(ge=2)] | None = None
    """Candidates per generation; left out: 24 for nsga2, pycma's own choice for cma_es."""

    @property
    def options(self) -> dict[str, Any]:
        """The library's options, a fresh dict; the optimiser checks them."""
        return dict(self.__pydantic_extra__)


class BudgetConfig(BaseModel):
    """When the search stops: at the limit that it meets first."""

    model_config = SECTION

    evaluations: Count = 200
    """Candidates to score."""
    hours: PositiveReal | None = None
    """Wall-clock hours; left out: no limit."""


class WorkersConfig(BaseModel):
    """Who merges and scores the candidates."""

    model_config = SECTION

    backend: Literal["in_process", "ray"] = "in_process"
    """in_process: one worker, no processes; ray: a pool of workers on one machine or a cluster."""
    count: Count = 1
    """Workers; each holds one model."""
    gpus: Annotated[Real, Field(ge=0)] | None = None
    """GPUs per worker; 0.5 puts two workers on one. Left out: one where the machine has any, else none."""
    cpus: Count | None = None
    """CPU cores per worker; left out: the machine's, shared evenly."""
    address: Text | None = None
    """A running Ray cluster (`auto`: the one this machine belongs to); left out: Ray is started here."""
    deadline_seconds: PositiveReal = 3600.0
    """Ray only: a candidate that takes longer is tried once more, then recorded as a failure."""

    @field_validator("count", "address")
    @classmethod
    def _need_ray(cls, value: int | str | None, info: ValidationInfo) -> int | str | None:
        if info.data.get("backend") == "in_process" and value not in (1, None):
            expected = "1" if info.field_name == "count" else "no address"
            refuse([mismatch(f"{expected} with backend in_process", in_words(value), "write backend: ray")])
        return value

    @field_validator("gpus")
    @classmethod
    def _whole_above_one(cls, gpus: float | None) -> float | None:
        if gpus is not None and gpus > 1 and gpus != int(gpus):
            refuse([mismatch("a share of one GPU or a whole number of them", in_words(gpus))])
        return gpus


class ExportConfig(BaseModel):
    """How winners are written."""

    model_config = SECTION

    dtype: ExportDtype = "bfloat16"
    """Every candidate is scored with weights rounded to it, so the export is what was scored."""


def as_bytes(value: object) -> object:
    """Read a size with a unit, as 4GiB."""
    if not isinstance(value, str):
        return value
    try:
        return int(TypeAdapter(ByteSize).validate_python(value))
    except ValidationError:
        refuse([mismatch("a size as 4GiB or 512MiB, or a number of bytes", in_words(value))])


class EngineConfig(BaseModel):
    """How candidates are run; scores do not depend on it beyond rounding."""

    model_config = SECTION

    memory: Annotated[
        int, BeforeValidator(as_bytes, json_schema_input_type=int | str), Field(ge=2**20, validate_default=True)
    ] = DEFAULT_BUDGET
    """Memory that scoring may take above the model's own, as 4GiB or a number of bytes."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What the model computes in. auto: on a GPU export.dtype; on a CPU float32, or bfloat16 where export.dtype is and
    a two-second measurement at the start finds it much faster."""


def misspelt_options(optimiser: OptimiserConfig) -> None:
    """Refuse options that are keys of ours in disguise, before they reach a library.

    Raises:
        ValidationError: `popualtion`, `pop_size`, `seed` and the like.
    """
    ours = {"popsize": "population", "pop_size": "population", "seed": "the campaign's own key seed"}
    problems = []
    for key in optimiser.options:
        hint = f"write {ours[key]}" if key in ours else did_you_mean(key, ["population", "kind"])
        if hint:
            problems.append(mismatch("an option of the library", f"'{key}'", hint, at=[key]))
    if problems:
        refuse(problems)
