"""The report's first sentence, in plain words and never better than what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evomerge.results.report.contents import Contents
from evomerge.results.verification.result import Standing

_STANDINGS: Mapping[Standing, str] = {"better": "won", "trade_off": "traded", "not_shown": "lost"}


@dataclass(frozen=True)
class Headline:
    """What the report says first.

    Attributes:
        standing: "won", "traded" and "lost" are held-out verdicts; "open" is a search not verified; "empty" has no
            score.
        text: one or two sentences.
    """

    standing: str
    text: str


def headline(contents: Contents) -> Headline:
    """Return the verdict of the verification, or what the search items allow to say without one."""
    if contents.verification is not None:
        return Headline(_STANDINGS[contents.verification.standing], contents.verification.verdict)
    scored = contents.scored
    if scored.best is None:
        failed = contents.n_failures
        return Headline("empty", f"All {failed} candidates failed." if failed else "No candidate has been scored yet.")
    best, parent = scored.best, contents.best_parent
    mean, stderr = scored.means[best], scored.mean_stderrs[best]
    leader = f"{_capital(contents.title(int(scored.numbers[best])))} leads with {mean:.3f} ± {stderr:.3f}"
    leader += " (estimated)" if scored.estimated[best] else ""
    if parent is None:
        text = f"{leader} on search items."
    elif scored.means[best] <= scored.means[parent]:
        name = contents.title(int(scored.numbers[parent]))
        text = f"No merge is better than the best parent ({name}, {scored.means[parent]:.3f}) on search items yet."
    else:
        ahead = scored.means[best] - scored.means[parent]
        name = contents.title(int(scored.numbers[parent]))
        text = f"{leader} on search items, {ahead:.3f} above the best parent ({name})."
    return Headline("open", f"{text} Nothing is verified on held-out items yet.")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
