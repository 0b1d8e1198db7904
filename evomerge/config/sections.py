"""The sections of a campaign file, each checked on its own; `campaign_config.py` checks them against each other."""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import InitErrorDetails

from evomerge.config.engine_vllm import VllmConfig
from evomerge.config.kinds import OPTIMISER_NAMES, OptimiserSection, ScheduleSection, SpaceSection
from evomerge.config.paths import ModelSource
from evomerge.fields import MOST_WORKERS, SECTION, Count, Evaluations, PositiveReal, Real, Text, is_number
from evomerge.wording import did_you_mean, in_words, mismatch, refuse
from search_spaces.recipes.recipe import ExportDtype, ParentSource


def _fit_for_a_directory(name: str) -> str:
    if name.startswith(".") or any(character in name for character in '/\\:*?"<>|\0'):
        refuse([mismatch("a name that can be a directory's", in_words(name))])
    return name


LEAST_GAIN = 0.002  # of accuracies: a fifth of a point


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


class ParentConfig(ModelConfig):
    """A checkpoint to merge; a LoRA adapter alone, with its base named, is one too."""

    name: Text = Field(
        default_factory=lambda data: PurePath(data.get("adapter") or data.get("model", "")).name, validate_default=True
    )
    """What tables and recipes call it; left out: the last part of `adapter`, else of `model`."""
    merge_of: tuple[Text, ...] = ()
    """Names of other parents that it is a merge of, which evomerge itself writes for those of `merges`: no task is its
    own, and landmarks are merges of the others."""


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

    evaluations: Evaluations = 200
    """Candidates to score."""
    hours: Annotated[PositiveReal, Field(le=1e6)] | None = None
    """Wall-clock hours; left out: no limit."""
    items: Count | None = None
    """Search items per candidate, every task's share of them; left out: all."""
    stop: Literal["auto"] | PositiveReal | None = None
    """Whether the search also ends when its optimiser (bayes) expects to gain no more than this, in units of the
    objectives: a number, or auto: 0.002. After 30 candidates at the earliest; left out: it does not."""

    @field_validator("stop", mode="before")
    @classmethod
    def _is_auto_or_a_gain(cls, stop: object) -> object:
        if stop not in (None, "auto") and not (is_number(stop) and 0 < float(str(stop)) < math.inf):
            refuse([mismatch("auto, or a number above 0", in_words(stop))])
        return stop

    @property
    def least_gain(self) -> float | None:
        """The gain below which the search ends; None where it goes on whatever is expected."""
        return LEAST_GAIN if self.stop == "auto" else self.stop


class WorkersConfig(BaseModel):
    """Who merges and scores the candidates."""

    model_config = SECTION

    backend: Literal["in_process", "ray"] = "in_process"
    """in_process: one worker, no processes; ray: a pool of workers on one machine or a cluster."""
    count: Annotated[Count, Field(le=MOST_WORKERS)] = 1
    """Workers; each holds one model."""
    min: Count | None = None
    """Ray only, with max: the search begins with so many workers, however long they wait for nodes. Left out: 1."""
    max: Annotated[Count, Field(le=MOST_WORKERS)] | None = Field(default=None, validate_default=True)
    """Ray only, in place of count: as many workers as the cluster has room for, but no more. They follow its nodes as
    these come and go; a cluster that scales itself may have none yet."""
    together: Count | None = None
    """Most candidates that one worker scores together, so that layers they share are run once. Left out: 16 in process
    where the space is layer_flow, else 1."""
    gpus: Annotated[Real, Field(ge=0)] | None = None
    """GPUs per worker; 0.5 puts two workers on one. Left out: one where a node has any at the start, or an accelerator
    is named; else none."""
    accelerator: Text | None = None
    """Ray only: the type of GPU, as Ray names it (A100, H100), where nodes have several. Left out: any."""
    cpus: Count | None = None
    """CPU cores per worker; left out: the machine's, shared evenly."""
    parents: Literal["auto", "resident", "streamed", "mapped"] = "auto"
    """Where a worker's parents lie. resident: on the device that merges; streamed: in pinned memory that a node's
    workers share, copied while the tensors before are merged; mapped: in their files. auto: the first of these that
    fits a GPU and its host; on a CPU mapped."""
    address: Text | None = None
    """A running Ray cluster (`auto`: the one this machine belongs to); left out: Ray is started here."""
    deadline_seconds: Annotated[PositiveReal, Field(le=1e7)] = 3600.0
    """Ray only: a candidate that takes longer is tried once more, then recorded as a failure. It holds for the first
    five with as many items; later ones have deadline_medians."""
    deadline_medians: Annotated[PositiveReal, Field(ge=1)] | None = 10.0
    """Ray only: a later candidate may take so many times the median of those before it that answered as many items, and
    at least 60 seconds. null: all have deadline_seconds."""

    @property
    def most(self) -> int:
        """How many workers there are at most."""
        return self.max or self.count

    @field_validator("count", "address")
    @classmethod
    def _need_ray(cls, value: int | str | None, info: ValidationInfo) -> int | str | None:
        if info.data.get("backend") == "in_process" and value not in (1, None):
            expected = "1" if info.field_name == "count" else "no address"
            refuse([mismatch(f"{expected} with backend in_process", in_words(value), "write backend: ray")])
        return value

    @field_validator("min", "max", "accelerator")
    @classmethod
    def _are_ray_s(cls, value: int | str | None, info: ValidationInfo) -> int | str | None:
        if info.data.get("backend") == "in_process" and value is not None:
            refuse([mismatch(f"no {info.field_name} with backend in_process", in_words(value), "write backend: ray")])
        return value

    @field_validator("max")
    @classmethod
    def _at_least_min(cls, most: int | None, info: ValidationInfo) -> int | None:
        least, count = info.data.get("min"), info.data.get("count")
        if least is not None and (most is None or most < least):
            refuse([mismatch(f"max beside min, and at least {least}", in_words(most))])
        if most is not None and count not in (1, None):
            refuse([mismatch("count or max", f"both, {count} and {most}", "leave count out")])
        return most

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


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Trackers: TypeAlias = Annotated[
    tuple[Literal["wandb", "mlflow", "tensorboard", "trackio"], ...], BeforeValidator(_as_list)
]


def as_bytes(value: object) -> object:
    """Read a size with a unit, as 4GiB."""
    if value == "auto":
        return None
    if not isinstance(value, str):
        return value
    try:
        return int(TypeAdapter(ByteSize).validate_python(value))
    except ValidationError:
        refuse([mismatch("a size as 4GiB or 512MiB, a number of bytes, or auto", in_words(value))])


class EngineConfig(BaseModel):
    """How candidates are run; scores do not depend on it beyond rounding."""

    model_config = SECTION

    kind: Literal["auto", "trie", "vllm"] = "auto"
    """Who runs them. trie: evomerge's own engine, on any device. vllm: merges are made inside of vLLM, which writes
    completions; the rest is trie's. auto: vllm where it is installed, there is a GPU and every task asks for
    completions only; else trie."""
    vllm: VllmConfig = VllmConfig()
    """How vLLM runs candidates, with kind vllm."""
    memory: Annotated[
        Annotated[int, Field(ge=2**20)] | None,
        BeforeValidator(as_bytes, json_schema_input_type=int | str),
        PlainSerializer(lambda memory: "auto" if memory is None else memory, return_type=int | str),
    ] = Field(default="auto", validate_default=True)
    """Memory that scoring may take above the model's own, as 4GiB or a number of bytes. auto: 4 GiB on a CPU; on a GPU
    what is free there when the first candidate is scored, less a reserve."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What the model computes in. auto: on a GPU export.dtype; on a CPU float32, or bfloat16 where export.dtype is and
    a two-second measurement at the start finds it much faster."""

    @property
    def devices(self) -> int:
        """How many devices a worker's model lies on."""
        return 1 if self.kind == "trie" else self.vllm.devices

    @property
    def across_nodes(self) -> bool:
        """Whether these may lie on several nodes."""
        return self.kind == "vllm" and self.vllm.across_nodes and self.devices > 1


class StageConfig(BaseModel):
    """One search of several, each with the winner of the one before among its parents."""

    model_config = SECTION

    name: DirectoryName
    """What its winner is called where it joins the parents of the next stage."""
    space: SpaceSection
    """What can be built."""
    optimiser: OptimiserSection | None = Field(default=None, validation_alias=OPTIMISER_NAMES)
    """Who proposes genomes; left out: as in a campaign of one stage."""
    budget: BudgetConfig | None = None
    """When it stops; left out: the campaign's budget."""
    schedule: ScheduleSection | None = None
    """Who answers which items; left out: the campaign's schedule, or if that is all_items as in a campaign of one
    stage."""
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


def name_problems(stages: tuple[StageConfig, ...], parents: tuple[str, ...]) -> list[InitErrorDetails]:
    """Return what is wrong with the names that stages give and use."""
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
