"""How questions become prompts: chat template, system instruction, few-shot examples; options as lm-eval calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fitness.engine.model.chat_template import ChatTemplate
from fitness.errors import FitnessError, did_you_mean
from fitness.tasks.framing import Turn

if TYPE_CHECKING:
    from fitness.engine.model.tokenizer import Tokenizer

RenderChat = Callable[..., str]  # (messages, add_generation_prompt=True) -> text, as lm-eval calls it


@dataclass(frozen=True)
class Prompts:
    """What all tasks' prompts have in common."""

    # whether to render prompts with the tokenizer's chat template; a name chooses one of several
    apply_chat_template: bool | str = False
    system_instruction: str | None = None  # comes first: the chat's system message, or text in front of the prompt
    fewshot_as_multiturn: bool = True  # with a chat template, few-shot examples are turns of the chat, not one message
    # few-shot examples of lm-eval tasks, except where a task insists on none; or of each, by its name or its group's
    num_fewshot: int | Mapping[str, int] | None = None
    # arguments of the template itself, such as `enable_thinking`
    chat_template_args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def template_arguments(self) -> dict[str, Any]:
        """What transformers' tokenizers are told about the chat template."""
        named = {"chat_template": self.apply_chat_template} if isinstance(self.apply_chat_template, str) else {}
        return {**self.chat_template_args, **named}

    def n_examples(self, names: Sequence[str], own: int | None) -> int | None:
        """Return how many few-shot examples a task gets that says `own`: what is said of the first of its names."""
        if not isinstance(self.num_fewshot, Mapping):
            return own if self.num_fewshot is None or own == 0 else self.num_fewshot
        return next((self.num_fewshot[name] for name in names if name in self.num_fewshot), own)

    def check_names(self, known: Sequence[str]) -> None:
        """Find that numbers of few-shot examples are those of tasks that are asked."""
        for name in self.num_fewshot if isinstance(self.num_fewshot, Mapping) else ():
            if name not in known:
                hint = did_you_mean(name, known, f"these are asked: {', '.join(known)}")
                raise FitnessError(f"prompts.num_fewshot: expected names of lm-eval tasks, found {name!r}; {hint}")

    def renderer(self, tokenizer: Tokenizer | None) -> RenderChat | None:
        """Return what renders a chat, or None without a chat template."""
        if not self.apply_chat_template:
            return None
        if tokenizer is None:
            raise FitnessError("apply_chat_template: expected a checkpoint with a tokenizer, found none")
        return ChatTemplate(tokenizer.pretrained, self.template_arguments)

    def frame(
        self,
        question: str,
        system: str | None = None,
        turns: tuple[Turn, ...] | None = None,
        *,
        render: RenderChat | None,
    ) -> str:
        """Return the whole prompt of a question, or of a chat's turns: what the model reads before it answers."""
        system = system or self.system_instruction
        if render is not None:
            said = turns or (("user", question),)
            first = (("system", system),) if system and said[0][0] != "system" else ()
            return render([{"role": role, "content": text} for role, text in (*first, *said)])
        if turns:
            raise FitnessError(
                "messages: expected a chat template, which makes a prompt of them, found none in use; write "
                "prompts: {apply_chat_template: true}, or rows with prompt"
            )
        return f"{system}\n\n{question}" if system else question
