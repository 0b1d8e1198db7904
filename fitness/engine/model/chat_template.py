"""A tokenizer's chat template: from messages to one text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fitness.engine.model.template_process import template_file, template_process
from fitness.errors import FitnessError

Message = dict[str, str]  # role, content


class ChatTemplate:
    """A transformers tokenizer's chat template; follows `lm_eval.models.huggingface.HFLM.apply_chat_template` (0.4.13).

    Unlike there, a template that is asked for by name, the argument `chat_template`, is the one that is used. All other
    arguments are the template's own.
    """

    def __init__(self, tokenizer: Any, arguments: Mapping[str, Any] | None = None) -> None:
        templates = getattr(tokenizer, "chat_template", None)
        names = sorted(templates) if isinstance(templates, dict) else []
        if not templates:
            raise FitnessError(
                "apply_chat_template: expected a tokenizer with a chat template, found none; leave the option out, or "
                "add chat_template.jinja to the model's directory"
            )
        name = (arguments or {}).get("chat_template")
        if name is not None and name not in names:
            expected = f"one of {', '.join(names)}" if names else "true, for the tokenizer's only template"
            raise FitnessError(f"apply_chat_template: expected {expected}, found {name!r}")
        self._tokenizer = tokenizer
        if not _renders_itself(tokenizer):
            template_process()  # starts while other things are read
        self._arguments = dict(arguments or {})

    def __call__(self, messages: Sequence[Message], add_generation_prompt: bool = True) -> str:
        """Return messages, each with `role` and `content`, as text.

        It ends where the assistant's answer begins; without generation prompt, the last message is that beginning.
        """
        from jinja2 import TemplateError

        try:
            return self._render(messages, add_generation_prompt)
        except TemplateError:  # some templates know no system message
            others = [message for message in messages if message["role"] != "system"]
            try:
                return self._render(others, add_generation_prompt)
            except TemplateError as error:
                file = template_file(self._tokenizer)
                raise FitnessError(f"{file}: the chat template cannot render a prompt: {error}") from error

    def _render(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        arguments = {
            "add_generation_prompt": add_generation_prompt,
            "continue_final_message": not add_generation_prompt,
            **self._arguments,
        }
        if _renders_itself(self._tokenizer):
            return str(self._tokenizer.apply_chat_template(list(messages), tokenize=False, **arguments))
        return template_process().render(self._tokenizer, messages, arguments)


def _renders_itself(tokenizer: Any) -> bool:
    """Return whether a tokenizer renders messages by code of its own, and not by a template."""
    from transformers import PreTrainedTokenizerBase

    own = getattr(type(tokenizer), "apply_chat_template", None)
    return own is not PreTrainedTokenizerBase.apply_chat_template
