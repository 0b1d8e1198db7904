"""The engine as one of lm-eval's models, for `lm_eval.simple_evaluate`.

Follows `lm_eval.models.huggingface.HFLM` (0.4.13) in everything that a score depends on.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

# `datasets`, until its version 4, asks whether a data set's script may be run; no script is.
os.environ.setdefault("HF_DATASETS_TRUST_REMOTE_CODE", "0")
import lm_eval.models  # noqa: F401  # lm-eval registers its own models only while none is registered
import torch
from lm_eval.__main__ import cli_evaluate
from lm_eval.api.model import LM, TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import simple_parse_args_string
from torch import nn

from fitness.engine.engines import language_model_for
from fitness.engine.language_model import (
    Answer,
    Continuation,
    LanguageModel,
    LogLikelihood,
    Plan,
    Request,
    Sampling,
    WholeText,
    likelihood_of,
)
from fitness.engine.lm_eval.lm_eval_generation import MAX_NEW_TOKENS, TOP_K, completion
from fitness.engine.lm_eval.lm_eval_model_args import ModelArguments, load_model
from fitness.engine.model.chat_template import ChatTemplate
from fitness.engine.model.tokenizer import Tokenizer, tokenizer_for
from fitness.errors import FitnessError

log = logging.getLogger(__name__)


class EngineLM(LM):  # type: ignore[misc]  # lm_eval has no types
    """A model of lm-eval whose requests the engine answers, all requests of a kind at once.

    Args:
        model: takes token ids, returns logits; its weights may change between calls.
        tokenizer: transformers', fast or slow; or the engine's, for which the next three are decided.
        max_length: tokens that the model takes at once; by default as its configuration says.
        add_bos_token: whether texts get the tokenizer's special tokens; by default as the tokenizer does unasked.
        prefix_token_id: stands before an empty context; by default begin of text, else end of text.
        chat_template_args: passed on to the tokenizer's chat template.
        engine: makes the engine for a tokenizer.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        *,
        max_length: int | None = None,
        add_bos_token: bool | None = None,
        prefix_token_id: int | None = None,
        chat_template_args: Mapping[str, Any] | None = None,
        engine: Callable[[Tokenizer], LanguageModel] = language_model_for,
    ) -> None:
        super().__init__()
        self.model = model
        self._generation_config = getattr(model, "generation_config", None)
        self._tokens = (
            tokenizer
            if isinstance(tokenizer, Tokenizer)
            else tokenizer_for(
                getattr(model, "config", None),
                tokenizer,
                self._generation_config,
                max_length=max_length,
                add_bos_token=add_bos_token,
                prefix_id=prefix_token_id,
            )
        )
        self.tokenizer = self._tokens.pretrained
        self._chat_template_args = dict(chat_template_args or {})
        self._language_model = engine(self._tokens)
        self._plans: dict[str, tuple[list[Request], Plan]] = {}  # the last of each kind of request
        self._device = next(model.parameters()).device

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: dict[str, Any] | None = None) -> EngineLM:
        """Load the model that `--model_args key=value,...` names."""
        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    @classmethod
    def create_from_arg_obj(cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None) -> EngineLM:
        """Load the model that these arguments name."""
        additional = {key: value for key, value in (additional_config or {}).items() if value is not None}
        arguments = ModelArguments.of({**arg_dict, **additional})
        model, tokenizer = load_model(arguments)
        return cls(
            model,
            tokenizer,
            max_length=arguments.max_length,
            add_bos_token=arguments.add_bos_token,
            prefix_token_id=arguments.prefix_token_id,
            chat_template_args=arguments.template_arguments,
            engine=partial(language_model_for, memory=arguments.memory),
        )

    @property
    def max_length(self) -> int:
        """Tokens that the model takes at once."""
        return self._tokens.max_length

    @property
    def max_gen_toks(self) -> int:
        """Tokens of a completion where a task names no limit."""
        return MAX_NEW_TOKENS

    @property
    def eot_token_id(self) -> int | None:
        """End of text."""
        token_id: int | None = self.tokenizer.eos_token_id
        return token_id

    @property
    def tokenizer_name(self) -> str:
        """For lm-eval's cache of requests."""
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Return the tokenizer's template of this name, or its only one."""
        template: str | None = TemplateLM.chat_template(self, chat_template)
        return template

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Return a conversation as one text; without its system message where the template has no place for one."""
        return ChatTemplate(self.tokenizer, self._chat_template_args)(chat_history, add_generation_prompt)

    def get_model_info(self) -> dict[str, Any]:
        """Return what lm-eval writes into its results."""
        return {
            "model_num_parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "model_dtype": str(next(self.model.parameters()).dtype),
        }

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return (log-likelihood in nats, is greedy) per (context, continuation)."""
        del disable_tqdm
        answers = self._answer("loglikelihood", [Continuation(*request.args) for request in requests])
        found = [(answer.value, answer.is_greedy) for answer in answers if isinstance(answer, LogLikelihood)]
        self._remember("loglikelihood", requests, found)
        return found

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Return the log-likelihood in nats per text; 0 for one without tokens."""
        del disable_tqdm
        texts = [request.args[0] for request in requests]
        scored = [text != "" or self._tokens.encode(text) != [] for text in texts]
        asked: list[Request] = [WholeText(text) for text, has_tokens in zip(texts, scored, strict=True) if has_tokens]
        answers = iter(self._answer("loglikelihood_rolling", asked))
        found = [likelihood_of(next(answers)) if has_tokens else 0.0 for has_tokens in scored]
        self._remember("loglikelihood_rolling", requests, found)
        return found

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Return the completion per (context, generation_kwargs); equal requests that sample get different ones."""
        del disable_tqdm
        self._warn_of_ignored_penalty()
        end = self.eot_token_id  # spelt out, it stops a completion too
        end_text = [] if end is None else [str(self.tokenizer.decode(end, skip_special_tokens=False))]
        repeats: Counter[str] = Counter()
        asked: list[Request] = []
        for prompt, options in (request.args for request in requests):
            until = [options["until"]] if isinstance(options.get("until"), str) else options.get("until") or []
            defaults = self._sampling_defaults(repeats[prompt])
            asked.append(completion(prompt, {**options, "until": [*until, *end_text]}, defaults=defaults))
            repeats[prompt] += 1
        found = [str(answer) for answer in self._answer("generate_until", asked)]
        self._remember("generate_until", requests, found)
        return found

    def _answer(self, kind: str, requests: list[Request]) -> list[Answer]:
        if kind not in self._plans or self._plans[kind][0] != requests:
            self._plans[kind] = requests, self._language_model.plan(requests)
        return self._plans[kind][1].answer(self.model)

    def _remember(self, kind: str, requests: Sequence[Any], found: Sequence[object]) -> None:
        for request, answer in zip(requests, found, strict=True):
            self.cache_hook.add_partial(kind, request.args, answer)

    def _sampling_defaults(self, repeat: int) -> Sampling:
        top_k = getattr(self._generation_config, "top_k", None)
        top_p = getattr(self._generation_config, "top_p", None)
        return Sampling(
            top_k=TOP_K if top_k is None else top_k,
            top_p=1.0 if top_p is None else top_p,
            seed=(torch.initial_seed() + repeat) % 2**63,
        )

    def _warn_of_ignored_penalty(self) -> None:
        penalty = getattr(self._generation_config, "repetition_penalty", None)
        if penalty not in (None, 1.0):
            log.warning(
                "generation_config.json asks for repetition_penalty=%s: lm-eval's own backend applies it, this one "
                "completes without",
                penalty,
            )


def run_command_line(arguments: Sequence[str]) -> None:
    """Run lm-eval's own command line, with the engine as `--model evomerge`."""
    register_model("evomerge")(EngineLM)
    sys.argv = ["lm-eval", *arguments]
    try:
        cli_evaluate()
    except FitnessError:
        raise
    except Exception as error:  # lm-eval tells wrong usage and defects alike
        log.debug("lm-eval failed", exc_info=True)
        raise FitnessError(f"lm-eval: {type(error).__name__}: {error}") from error
