"""A vLLM engine with one model, which becomes one recipe after the other; the only importer of vLLM on this side."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from evomerge.errors import in_brief
from evomerge.workers.protocol import WorkerSetupError
from evomerge.workers.vllm.served_weights import Became, ParentsToOpen
from fitness.engine.language_model import LogLikelihood, Sampling
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.windows import Prompt, Window
from fitness.engine.served import NOT_FINITE
from fitness.errors import FitnessError
from search_spaces.errors import SpaceError
from search_spaces.recipes.recipe import Recipe

_LOG = logging.getLogger(__name__)

_EXTENSION = "evomerge.workers.vllm.extension.MergeWorker"
# Set before vLLM is imported, whatever the user's environment says: nothing is reported to anybody; the engine runs in
# this process, so that it ends with it; and what its workers tell each other stays on this machine.
_ALWAYS = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_HOST_IP": "127.0.0.1",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "0",
    "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1",  # one token more than a request has: the one that vLLM always writes
    "VLLM_PLUGINS": "",
}
# What a user may say otherwise.
_UNLESS_SAID = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}


@dataclass(frozen=True)
class ServerSettings:
    """How vLLM runs a model.

    Attributes:
        dtype: what it computes in: float32, bfloat16 or float16.
        on_gpu: whether on GPUs.
        tensor_parallel: devices that share each layer.
        pipeline_parallel: groups of devices, each with a share of the layers.
        memory_share: of a GPU's memory that vLLM takes, in (0, 1].
        max_length: tokens of a request and its completion together; None: as many as the model takes.
        across_nodes: whether its devices lie in the placement group of the Ray actor that this is.
        reload: see `ServedWeights`.
    """

    dtype: str
    on_gpu: bool
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    memory_share: float = 0.8
    max_length: int | None = None
    across_nodes: bool = False
    reload: bool | None = None


class VllmServer:
    """Implements `fitness.engine.served.Server`; `become` gives it the next recipe's weights.

    Args:
        write_skeleton: writes config and tokenizer of every recipe's model to an empty directory.
        parents: of every recipe to come.
        tokenizer: that of the models.
        settings: how they are run.

    Raises:
        WorkerSetupError: vLLM cannot run such models here.
    """

    def __init__(
        self,
        write_skeleton: Callable[[Path], object],
        parents: ParentsToOpen,
        tokenizer: Tokenizer,
        settings: ServerSettings,
    ) -> None:
        skeleton = Path(tempfile.mkdtemp(prefix="evomerge-vllm-"))
        self._tokenizer = tokenizer
        try:
            write_skeleton(skeleton)
            self.llm: Any = _started(skeleton, tokenizer, settings)
        finally:
            shutil.rmtree(skeleton, ignore_errors=True)  # vLLM has read it
        self.close = weakref.finalize(self, self.llm.llm_engine.engine_core.shutdown)
        self.llm.collective_rpc("evomerge_open", args=(parents.to_json(), settings.reload))

    def become(self, recipe: Recipe) -> Became:
        """Overwrite the weights with the recipe's; returns what the slowest worker did.

        Raises:
            SpaceError: the recipe cannot be carried out; the weights are undefined until another one succeeds.
        """
        answers = self.llm.collective_rpc("evomerge_become", args=(recipe.to_json(),))
        workers = [Became(**json.loads(answer)) for answer in answers]
        # What is kept of prompts was computed with the weights before.
        if not self.llm.reset_prefix_cache():
            raise RuntimeError("vllm: expected no request in progress when the weights change, found some")
        if errors := [became.error for became in workers if became.error]:
            raise SpaceError(errors[0])
        slowest = max(workers, key=lambda became: became.merge_seconds + became.load_seconds)
        _LOG.info(
            "%d tensors: merged in %.2f s, loaded in %.2f s",
            slowest.n_tensors,
            slowest.merge_seconds,
            slowest.load_seconds,
        )
        return slowest

    def model(self) -> nn.Module:
        """Return vLLM's model, where it is one of this process: on one device."""
        (model,) = self.llm.collective_rpc("evomerge_model")
        assert isinstance(model, nn.Module)
        return model

    def continued(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Return the tokens after each prompt (see `Server.continued`)."""
        outputs = self._generated([p.ids for p in prompts], [self._sampling(prompt) for prompt in prompts])
        found = [output.outputs[0] for output in outputs]
        # NaN among a token's logits makes its log-probability NaN; -inf is one that cannot be drawn.
        if any(one.cumulative_logprob != one.cumulative_logprob for one in found):
            raise FitnessError(NOT_FINITE)
        return [list(one.token_ids) for one in found]

    def log_likelihoods(self, windows: Sequence[Window]) -> list[LogLikelihood]:
        """Return the sum of the log-probabilities of each window's targets (see `Server.log_likelihoods`).

        Those of a prompt's own tokens, and of the last target as the one token that is written after it.
        """
        from vllm import SamplingParams

        last = [window.targets[-1] for window in windows if window.targets is not None]
        asked = [SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0, logprob_token_ids=[t]) for t in last]
        outputs = self._generated([window.inputs for window in windows], asked)
        return [_log_likelihood(window, output) for window, output in zip(windows, outputs, strict=True)]

    def _generated(self, prompts: Sequence[Sequence[int]], asked: Sequence[Any]) -> list[Any]:
        if not prompts:
            return []
        try:
            given = [{"prompt_token_ids": list(ids)} for ids in prompts]
            return list(self.llm.generate(given, list(asked), use_tqdm=False))
        except ValueError as error:
            raise FitnessError(f"vllm: {in_brief(error)}") from error

    def _sampling(self, prompt: Prompt) -> Any:
        """Return vLLM's parameters of a completion, which leave end and stop to us as far as they can."""
        from vllm import SamplingParams

        sampling = Sampling(temperature=1.0) if prompt.sampling is None else prompt.sampling
        return SamplingParams(
            temperature=0.0 if prompt.sampling is None else sampling.temperature,
            top_k=sampling.top_k or 0,
            top_p=sampling.top_p,
            seed=None if prompt.sampling is None else _seed(prompt),
            max_tokens=prompt.max_new_tokens,
            stop=list(prompt.stop) or None,
            stop_token_ids=sorted(self._tokenizer.end_ids),
            ignore_eos=True,  # end tokens are those just named
            skip_special_tokens=False,  # a stop string may be one
            detokenize=bool(prompt.stop),
            logprobs=0,
        )


def _started(skeleton: Path, tokenizer: Tokenizer, settings: ServerSettings) -> Any:
    os.environ.update(_ALWAYS)
    if settings.across_nodes:
        del os.environ["VLLM_HOST_IP"]  # vLLM asks Ray for the nodes' addresses
    for name, value in _UNLESS_SAID.items():
        os.environ.setdefault(name, value)
    from vllm import LLM

    several = settings.tensor_parallel * settings.pipeline_parallel > 1
    executor = "ray" if settings.across_nodes else "mp" if several else "uni"
    try:
        return LLM(
            model=str(skeleton),
            load_format="dummy",
            dtype=settings.dtype,
            tensor_parallel_size=settings.tensor_parallel,
            pipeline_parallel_size=settings.pipeline_parallel,
            distributed_executor_backend=executor,
            worker_extension_cls=_EXTENSION,
            enable_prefix_caching=True,
            gpu_memory_utilization=settings.memory_share,
            max_model_len=settings.max_length or tokenizer.max_length + 1,
            enforce_eager=not settings.on_gpu,
            generation_config="vllm",  # none: completions are as tasks ask for them
            trust_remote_code=False,
            disable_log_stats=True,
            seed=0,
        )
    except Exception as error:  # whatever vLLM makes of an architecture, a device or too little memory
        raise WorkerSetupError(
            f"engine: expected models that vLLM can run here, found: {in_brief(error)}; where memory is short lower "
            "engine.vllm.max_length or raise engine.vllm.memory_share, or write engine: {kind: trie}"
        ) from error


def _log_likelihood(window: Window, output: Any) -> LogLikelihood:
    assert window.targets is not None
    *inner, last = window.targets
    read = [output.prompt_logprobs[place + 1][token] for place, token in zip(window.places, inner, strict=False)]
    (written,) = output.outputs[0].token_ids
    final = output.outputs[0].logprobs[0][last]
    value = sum(one.logprob for one in (*read, final))
    return LogLikelihood(value, written == last and all(one.rank == 1 for one in read))


def _seed(prompt: Prompt) -> int:
    """Return a seed of this request alone, so that its completion does not depend on the others."""
    assert prompt.sampling is not None
    words = " ".join(map(str, (prompt.sampling.seed, *prompt.ids)))
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:4], "big")
