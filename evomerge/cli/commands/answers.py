"""`evomerge answers`: what a candidate answered, item by item."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from evomerge.cli.commands.results import AsJson, RunDir
from evomerge.cli.terminal import Terminal, indented, make_console

if TYPE_CHECKING:
    from evomerge.results.answers import ItemAnswer, Pair

_LONGEST = 2000  # characters of a prompt or an answer that are printed; --json has them whole
_MOST = 20  # items that are printed where nobody says how many


class Only(StrEnum):
    """Which items."""

    won = "won"
    lost = "lost"
    changed = "changed"


class SplitName(StrEnum):
    """Which split's items."""

    search = "search"
    validation = "validation"
    test = "test"
    final = "final"


def answers(  # noqa: PLR0913
    run_dir: RunDir,
    candidate: Annotated[
        str, typer.Option(help="A candidate's number, a pick (knee, winner, best:OBJECTIVE) or a parent's name.")
    ] = "knee",
    *,
    against: Annotated[str | None, typer.Option(help="Another candidate, named alike: both answers.")] = None,
    task: Annotated[str | None, typer.Option(help="Only this task's items.")] = None,
    item: Annotated[str | None, typer.Option(help="Only this item, by its id: whole, however long.")] = None,
    only: Annotated[
        Only | None, typer.Option(help="With --against: items won, lost, or changed (in score or answer).")
    ] = None,
    split: Annotated[SplitName, typer.Option(help="Whose items; all but search after `verify`.")] = SplitName.search,
    limit: Annotated[int, typer.Option(min=0, help="How many items to print; 0: all.")] = _MOST,
    as_json: AsJson = False,
) -> None:
    """Show prompts, right answers, what a candidate answered and its scores; with --against beside another's.

    Answers are kept of landmarks, of the front and of whoever is verified (`answers: front` in the campaign).
    """
    from evomerge.api.run import load
    from evomerge.results.answers import AnswersError, paired

    if only is not None and against is None:
        raise typer.BadParameter("needs --against", param_hint="--only")
    run, console = load(run_dir), make_console()
    mine = run.answers(candidate, split.value)
    theirs = mine if against is None else run.answers(against, split.value)
    pairs = [
        pair
        for pair in paired(mine, theirs)
        if (task is None or pair.a.task == task)
        and (item is None or item in (pair.a.item, pair.a.item.rpartition("/")[2]))
        and pair.is_among(None if only is None else only.value)
    ]
    if not pairs and (item or task) and not only:
        tasks = ", ".join(dict.fromkeys(one.task for one in mine))
        raise AnswersError(f"answers: expected an item that was answered, found none of it; the tasks are {tasks}")
    if as_json:
        print(json.dumps([_plain(pair, alone=against is None) for pair in pairs], indent=2))
        return
    _print(pairs, (candidate, against), limit, console, whole=item is not None)


def _print(pairs: list[Pair], names: tuple[str, str | None], limit: int, console: Terminal, *, whole: bool) -> None:
    a, b = names
    shown, most = pairs[: limit or None], None if whole else _LONGEST
    block = partial(indented, most=most, more="; --item shows all")
    for pair in shown:
        console.print(f"{pair.a.item}: {_scores(pair, alone=b is None)}", whole=True)
        for head, text in (("prompt", pair.a.prompt), ("right", pair.a.gold)):
            if text:
                console.print(block(head, text), whole=True)
        console.print(block(a, _answer(pair.a)), whole=True)
        if b is not None:
            console.print(block(b, _answer(pair.b)), whole=True)
    left = f", the first {len(shown)} shown (--limit 0: all)" if len(shown) < len(pairs) else ""
    won, lost = (sum(pair.outcome == outcome for pair in pairs) for outcome in ("won", "lost"))
    console.print(f"{len(pairs)} items{left}" + ("" if b is None else f"; {a} wins {won} and loses {lost} against {b}"))


def _scores(pair: Pair, *, alone: bool) -> str:
    return f"{pair.a.score:g}" if alone else f"{pair.outcome}, {pair.a.score:g} against {pair.b.score:g}"


def _answer(one: ItemAnswer) -> str:
    if not one.choices:
        return one.answer if one.answer or not one.likelihoods else f"log-likelihood {one.likelihoods[0]:.2f}"
    each = ", ".join(f"{c.strip()} {v:.2f}" for c, v in zip(one.choices, one.likelihoods, strict=False))
    return f"{one.answer.strip()}  ({each})"


def _plain(pair: Pair, *, alone: bool) -> dict[str, object]:
    if alone:
        return asdict(pair.a)
    own = ("score", "answer", "likelihoods")
    a, b = asdict(pair.a), asdict(pair.b)
    shared = {key: value for key, value in a.items() if key not in own}
    return shared | {"outcome": pair.outcome, "a": {k: a[k] for k in own}, "b": {k: b[k] for k in own}}
