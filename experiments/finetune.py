"""Train a causal language model to answer short prompts: the one training loop of the experiments."""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from experiments.checkpoints import is_finished, save_checkpoint

IGNORED_LABEL = -100  # what transformers' cross entropy skips


@dataclass(frozen=True)
class Example:
    """A prompt and the answer that follows it after one space."""

    prompt: str
    answer: str


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    steps: int  # optimiser steps
    batch_size: int  # examples per step
    learning_rate: float  # AdamW's peak rate; linear warm-up, then a cosine down to a twentieth of it
    seed: int  # seeds the stream of examples

    def rate(self, step: int) -> float:
        """Return the learning rate of the 0-based `step`."""
        warm_up = min(1.0, (step + 1) / max(1, self.steps // 20))
        cosine = 0.5 * (1.0 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * warm_up * (0.05 + 0.95 * cosine)


def finetune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    draw: Callable[[random.Random], Example],
    schedule: Schedule,
    label: str,
) -> None:
    """Train `model` in place on a stream of examples; only answers and the end token carry loss."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=schedule.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    stream = random.Random(schedule.seed)
    model.train()
    started, smooth = time.monotonic(), None
    for step in range(schedule.steps):
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step)
        batch = collate(tokenizer, [draw(stream) for _ in range(schedule.batch_size)])
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        smooth = loss.item() if smooth is None else 0.9 * smooth + 0.1 * loss.item()
        report_progress(label, step + 1, schedule.steps, smooth, started)
    model.eval()


def train_expert(
    base: Path,
    directory: Path,
    draw: Callable[[random.Random], Example],
    schedule: Schedule,
    *,
    freeze_embeddings: bool = False,
    rank: int | None = None,
) -> None:
    """Fine-tune the checkpoint `base` and save it in a directory of the expert's name, unless it is there already.

    `rank`: train a LoRA adapter of this rank on every linear layer and save the whole model with it merged in; None
    trains the weights themselves.
    """
    if is_finished(directory):
        return
    torch.manual_seed(schedule.seed)
    model = AutoModelForCausalLM.from_pretrained(base, trust_remote_code=False, attn_implementation=None)
    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    model.get_input_embeddings().requires_grad_(not freeze_embeddings)
    if rank is None:
        finetune(model, tokenizer, draw, schedule, label=directory.name)
    else:
        from peft import LoraConfig, get_peft_model

        adapted = get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"))
        finetune(adapted, tokenizer, draw, schedule, label=directory.name)
        model = adapted.merge_and_unload()
    save_checkpoint(model, tokenizer, directory)


def collate(tokenizer: PreTrainedTokenizerFast, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Return `input_ids`, `attention_mask` and `labels`, each int64 of shape (examples, longest example)."""
    rows = [_token_ids(tokenizer, example) for example in examples]
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    shape = (len(rows), width)
    ids = torch.full(shape, int(tokenizer.pad_token_id), dtype=torch.int64)
    mask, labels = torch.zeros(shape, dtype=torch.int64), torch.full(shape, IGNORED_LABEL, dtype=torch.int64)
    for row, (prompt, answer) in enumerate(rows):
        length = len(prompt) + len(answer)
        ids[row, :length] = torch.tensor(prompt + answer)
        mask[row, :length] = 1
        labels[row, len(prompt) : length] = torch.tensor(answer)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _token_ids(tokenizer: PreTrainedTokenizerFast, example: Example) -> tuple[list[int], list[int]]:
    """Tokenise prompt and answer jointly, split where the prompt ends, and append the end token."""
    prompt = tokenizer(example.prompt)["input_ids"]
    whole = tokenizer(f"{example.prompt} {example.answer}")["input_ids"]
    return prompt, [*whole[len(prompt) :], tokenizer.eos_token_id]


def report_progress(label: str, done: int, total: int, loss: float, started: float) -> None:
    """Print one line at about every tenth of the run: loss and seconds left."""
    if done % max(1, total // 10) and done != total:
        return
    left = (time.monotonic() - started) / done * (total - done)
    print(f"{label:>10}  step {done}/{total}  loss {loss:.3f}  {left:.0f} s left", flush=True)
