"""Signals: denser answers beside right and wrong, by which abilities are learnt; no objective is made of them."""

from __future__ import annotations

from typing import Literal, TypeAlias

Signal: TypeAlias = Literal["margin"]


def signal_task(task: str) -> str:
    """Return what the signals of a task's answers are called.

    >>> signal_task("words")
    'words:signal'
    """
    return f"{task}:signal"


def signal_of(item: str, task: str) -> str:
    """Return the item that holds the signal of an item's answer.

    >>> signal_of("words/17", "words")
    'words:signal/17'
    """
    return f"{signal_task(task)}/{item.removeprefix(f'{task}/')}"
