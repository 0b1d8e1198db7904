"""The sections of a campaign file, each checked on its own; `campaign_config.py` checks them against each other."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from evomerge.config.paths import ModelSource
from evomerge.fields import SECTION, Count, PositiveReal, Real, Text
from evomerge.wording import in_words, mismatch, refuse
from fitness.engine.model.budget import DEFAULT_BUDGET
from search_spaces.recipes.recipe import ExportDtype, ParentSource


def _fit_for_a_directory(name: str) -> str:
    if name.startswith(".") or any(character in name for character in '/\\:*?"<>|\0'):
        refuse([mismatch("a name that can be a directory's", in_words(name))])
    return name


DirectoryName: TypeAlias = Annotated[Text, AfterValidator(_fit_for_a_directory)]


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


class BudgetConfig(BaseModel):
    """When the search stops: at the limit that it meets first."""

    model_config = SECTION

    evaluations: Count = 200
    """Candidates to score."""
    hours: PositiveReal | None = None
    """Wall-clock hours; left out: no limit."""
    items: Count | None = None
    """Search items per candidate, every task's share of them; left out: all."""


class WorkersConfig(BaseModel):
    """Who merges and scores the candidates."""

    model_config = SECTION

    backend: Literal["in_process", "ray"] = "in_process"
    """in_process: one worker, no processes; ray: a pool of workers on one machine or a cluster."""
    count: Count = 1
    """Workers; each holds one model."""
    together: Count | None = None
    """in_process only: most candidates that are scored together, so that layers they share are run once. Left out: 16
    where the space is layer_flow, else 1."""
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

    @field_validator("together")
    @classmethod
    def _needs_one_process(cls, together: int | None, info: ValidationInfo) -> int | None:
        if info.data.get("backend") == "ray" and together not in (1, None):
            hint = "a worker on Ray scores one candidate at a time; leave it out"
            refuse([mismatch("1 with backend ray", in_words(together), hint)])
        return together

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
