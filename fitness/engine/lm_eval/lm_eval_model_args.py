"""What `--model_args` may say to the engine, and loading the model that they name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from fitness.engine.model.tokenizer import why_not_loaded
from fitness.errors import FitnessError, did_you_mean

_DECIDED_BY_THE_ENGINE = {"batch_size", "max_batch_size", "logits_cache"}
_BITS = {None: 0, "Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}
_DTYPES = {"auto", "float32", "bfloat16", "float16", "float64"}


@dataclass(frozen=True)
class ModelArguments:
    """Arguments of lm-eval's Hugging Face backend that the engine has too, with their meaning there."""

    pretrained: str  # checkpoint directory or hub id
    tokenizer: str | None = None  # another checkpoint's; by default the model's own
    revision: str = "main"
    subfolder: str = ""
    # by default the checkpoint's on an accelerator, and float32 on the CPU, which holds the same values
    dtype: str | None = None
    device: str | None = None  # `cpu`, `cuda:0`, ...; by default a GPU if there is one
    max_length: int | None = None  # tokens that the model takes at once
    add_bos_token: bool | None = None  # whether texts get the tokenizer's special tokens
    prefix_token_id: int | None = None  # stands before an empty context
    use_fast_tokenizer: bool = True
    trust_remote_code: bool = False
    enable_thinking: bool | None = None  # the same, for this one argument
    chat_template_args: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # passed on to the chat template
    # what scoring may take above the model's own, in bytes or as 4GiB; lm-eval's own backend has no such
    memory: int | None = None  # bytes; None: 4 GiB on a CPU, what is free on a GPU

    @property
    def template_arguments(self) -> dict[str, Any]:
        """What the chat template gets."""
        thinking = {} if self.enable_thinking is None else {"enable_thinking": self.enable_thinking}
        return {**self.chat_template_args, **thinking}

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> ModelArguments:
        """Check and take arguments as they stand on the command line."""
        known = {field.name for field in dataclasses.fields(cls)}
        given = {key: value for key, value in arguments.items() if key not in _DECIDED_BY_THE_ENGINE}
        problems = []
        for key in (key for key in given if key not in known):
            hint = did_you_mean(key, known, f"the engine takes {', '.join(sorted(known))}")
            problems.append(f"{key}: expected an argument that the engine has, found another; {hint}")
        if "pretrained" not in given:
            problems.append("pretrained: expected a checkpoint directory or hub id, found none")
        if given.get("trust_remote_code"):
            problems.append("trust_remote_code: expected False, found True; the engine runs no code of a checkpoint's")
        dtype = str(given.get("dtype") or "auto").removeprefix("torch.")
        if dtype not in _DTYPES:
            problems.append(f"dtype: expected one of {', '.join(sorted(_DTYPES))}, found {dtype!r}")
        said = given.pop("memory", "auto")
        memory = None if said == "auto" else _bytes(said)
        if memory is None and said != "auto":
            problems.append("memory: expected a size as 4GiB or 512MiB, a number of bytes, or auto, found another")
        if problems:
            raise FitnessError("\n".join(f"model_args: {problem}" for problem in problems))
        if "dtype" in given:
            given["dtype"] = dtype
        return cls(**given, memory=memory)


def load_model(arguments: ModelArguments) -> tuple[nn.Module, Any]:
    """Return the model, in evaluation mode on its device, and its transformers tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    device = _device(arguments.device)
    where = {"revision": str(arguments.revision), "subfolder": arguments.subfolder}
    options = {} if arguments.add_bos_token is None else {"add_bos_token": arguments.add_bos_token}
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            arguments.tokenizer or arguments.pretrained,
            use_fast=arguments.use_fast_tokenizer,
            trust_remote_code=False,
            **where,
            **options,
        )
        config = AutoConfig.from_pretrained(arguments.pretrained, trust_remote_code=False, **where)
        # Who computes attention (None: sdpa, else eager) and experts is not config.json's to say: it may name a
        # repository of the hub with native code.
        config._experts_implementation = None
        model = AutoModelForCausalLM.from_pretrained(
            arguments.pretrained,
            config=config,
            dtype=arguments.dtype or ("float32" if device == "cpu" else "auto"),
            trust_remote_code=False,
            attn_implementation=None,
            **where,
        ).to(device)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise FitnessError(
            f"{arguments.pretrained}: expected a checkpoint to load, found: {why_not_loaded(error)}"
        ) from error
    model.eval()
    return model, tokenizer


def _device(wanted: str | None) -> str:
    """As lm-eval, which asks for cuda:0 unasked: the CPU where there is no GPU."""
    if torch.cuda.is_available():
        return wanted or "cuda"
    if wanted is None or wanted.startswith("cuda"):
        return "cpu"
    return wanted


def _bytes(size: object) -> int | None:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]i)?B?", str(size).strip())
    if found is None:
        return None
    number, unit = found.groups()
    return int(float(number) * 2 ** _BITS[unit])
