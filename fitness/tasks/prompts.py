"""How questions become prompts: chat template, system instruction, few-shot examples; options as lm-eval calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fitness.errors import FitnessError

if TYPE_CHECKING:
    from fitness.engine.tokenizer import Tokenizer

Message = dict[str, str]  # role, content
RenderChat = Callable[..., str]  # (messages, add_generation_prompt=True) -> text, as lm-eval calls it


@dataclass(frozen=True)
class Prompts:
    """What all tasks' prompts have in common.

    Attributes:
        apply_chat_template: whether to render prompts with the tokenizer's chat template; a name chooses one of
            several.
        system_instruction: comes first: the chat's system message, or text in front of the prompt.
        fewshot_as_multiturn: with a chat template, few-shot examples are turns of the chat, not one message.
        num_fewshot: few-shot examples of lm-eval tasks, except where a task insists on none.
        chat_template_args: arguments of the template itself, such as `enable_thinking`.
    """

    apply_chat_template: bool | str = False
    system_instruction: str | None = None
    fewshot_as_multiturn: bool = True
    num_fewshot: int | None = None
    chat_template_args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def template_arguments(self) -> dict[str, Any]:
        """What transformers' tokenizers are told about the chat template."""
        named = {"chat_template": self.apply_chat_template} if isinstance(self.apply_chat_template, str) else {}
        return {**self.chat_template_args, **named}

    def renderer(self, tokenizer: Tokenizer | None) -> RenderChat | None:
        """Return what renders a chat, or None without a chat template.

        Raises:
            FitnessError: there is no tokenizer, or it has no such chat template.
        """
        if not self.apply_chat_template:
            return None
        if tokenizer is None:
            raise FitnessError("apply_chat_template: expected a checkpoint with a tokenizer, found none")
        return ChatTemplate(tokenizer.pretrained, self.template_arguments)

    def frame(self, question: str, render: RenderChat | None) -> str:
        """Return the whole prompt of a question: what the model reads before it answers."""
        system = self.system_instruction
        if render is not None:
            messages = [{"role": "system", "content": system}] if system else []
            return render([*messages, {"role": "user", "content": question}])
        return f"{system}\n\n{question}" if system else question


class ChatTemplate:
    """A tokenizer's chat template; follows `lm_eval.models.huggingface.HFLM.apply_chat_template` (0.4.13).

    Unlike there, a template that is asked for by name is the one that is used.

    Args:
        tokenizer: transformers'.
        arguments: of its `apply_chat_template`: `chat_template` names one of several templates, all others are the
            template's own.

    Raises:
        FitnessError: the tokenizer has no template (of this name).
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
        self._arguments = dict(arguments or {})

    def __call__(self, messages: Sequence[Message], add_generation_prompt: bool = True) -> str:
        """Return a chat as text.

        Args:
            messages: each with `role` and `content`.
            add_generation_prompt: end where the assistant's answer begins; else the last message is the beginning of
                that answer.

        Raises:
            FitnessError: the template cannot render the messages.
        """
        from jinja2 import TemplateError

        try:
            return self._render(messages, add_generation_prompt)
        except TemplateError:  # some templates know no system message
            others = [message for message in messages if message["role"] != "system"]
            try:
                return self._render(others, add_generation_prompt)
            except TemplateError as error:
                raise FitnessError(f"the tokenizer's chat template cannot render a prompt: {error}") from error

    def _render(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                list(messages),
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
                **self._arguments,
            )
        )
