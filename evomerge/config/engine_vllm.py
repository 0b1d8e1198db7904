"""The section of a campaign file that says how vLLM runs candidates."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from evomerge.fields import SECTION, Count, Flag, Real


class VllmConfig(BaseModel):
    """How vLLM runs candidates, with engine.kind vllm; scores do not depend on it beyond rounding."""

    model_config = SECTION

    tensor_parallel: Annotated[Count, Field(le=64)] = 1
    """Devices that share every layer of a worker's model. More than one: the model lies in vLLM alone, and tasks can
    ask for completions and log-likelihoods only."""
    pipeline_parallel: Annotated[Count, Field(le=64)] = 1
    """Groups of devices, each with a share of the layers."""
    across_nodes: Flag = False
    """Ray only, with kind vllm: whether a worker's devices may lie on several nodes, for models larger than one: on as
    few as have room."""
    memory_share: Annotated[Real, Field(gt=0, le=1)] = 0.8
    """Share of a GPU's memory that vLLM takes for weights, keys and values. The rest is for merging, and for
    evomerge's own engine where tasks ask for more than completions."""
    max_length: Count | None = None
    """Tokens of a prompt and its completion together; left out: as many as the model takes. Fewer need less memory."""

    @property
    def devices(self) -> int:
        """How many devices a worker has."""
        return self.tensor_parallel * self.pipeline_parallel
