"""lm-eval's `generation_kwargs` as the engine's completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fitness.engine.language_model import Completion, Sampling
from fitness.errors import FitnessError

MAX_NEW_TOKENS = 256  # lm-eval's default
TOP_K = 50  # transformers, and so lm-eval, draws among so many tokens unless told otherwise
_LENGTH_KEYS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # in lm-eval's order
_KNOWN_KEYS = {*_LENGTH_KEYS, "until", "do_sample", "temperature", "top_k", "top_p"}
_WITHOUT_EFFECT = {"num_beams": 1, "repetition_penalty": 1.0, "num_return_sequences": 1, "use_cache": True}


def completion(prompt: str, options: Mapping[str, Any], *, defaults: Sampling | None = None) -> Completion:
    """Return what lm-eval's Hugging Face backend does with a task's `generation_kwargs`.

    Greedy unless `do_sample` or a `temperature` above 0 says otherwise; `defaults` have seed, top_k and top_p.
    """
    unknown = [k for k in options if k not in _KNOWN_KEYS and options[k] not in (None, _WITHOUT_EFFECT.get(k))]
    if unknown:
        raise FitnessError(
            f"generation_kwargs: expected {', '.join(sorted(_KNOWN_KEYS))}, "
            f"found {', '.join(f'{key}={options[key]!r}' for key in unknown)}"
        )
    until = options.get("until") or []
    lengths = [options[key] for key in _LENGTH_KEYS if options.get(key) is not None]
    return Completion(
        prompt,
        stop=(until,) if isinstance(until, str) else tuple(until),
        max_new_tokens=int(lengths[0]) if lengths else MAX_NEW_TOKENS,
        sampling=_sampling(options, defaults or Sampling()),
    )


def _sampling(options: Mapping[str, Any], defaults: Sampling) -> Sampling | None:
    temperature = float(options.get("temperature") or 0.0)
    asked = options.get("do_sample")
    if asked is False or (asked is None and temperature == 0.0):
        return None
    if temperature <= 0.0:
        raise FitnessError(
            f"generation_kwargs: expected a temperature above 0 beside do_sample: true, found {temperature}; "
            "set do_sample: false for greedy completions"
        )
    top_k, top_p = options.get("top_k", defaults.top_k), options.get("top_p", defaults.top_p)
    return Sampling(
        temperature=temperature,
        top_k=int(top_k) if top_k else None,  # 0 and None: all tokens
        top_p=1.0 if top_p is None else float(top_p),
        seed=defaults.seed,
    )
