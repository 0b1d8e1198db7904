"""A card's metadata for the hub: what its parents' cards say of licence, data sets and languages; scores."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomerge.archive.campaign_text import campaign_settings
from evomerge.content import content_of
from evomerge.results.verification.result import Row

_MOST_BYTES = 2**20
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Inherited:
    """What parents' cards say.

    Attributes:
        licence: by the hub's identifier, where all parents that name one name the same; `other` where they differ; None
            where none names one.
        note: a sentence about the licence; empty where nothing is to be said.
        datasets: by hub ids.
        languages: by code.
    """

    licence: str | None = None
    note: str = ""
    datasets: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()


NOTHING = Inherited()


def front_matter(models: Iterable[str], taken_over: Inherited, name: str, row: Row | None = None) -> str:
    """Return the hub's metadata; `base_model` may only name models on the hub, so directories are left out.

    `row` has the model's scores on test items, which become the hub's evaluation results under its name.
    """
    from huggingface_hub import EvalResult, ModelCardData

    named = [model for model in dict.fromkeys(models) if _HUB_ID.fullmatch(model)]
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=re.sub(r"[^\w.-]+", "-", one.name),
            dataset_name=f"{one.name} (held-out items)",
            dataset_split="test",
            metric_type="accuracy",
            metric_name="mean item score",
            metric_value=round(one.value, 6),
        )
        for one in (() if row is None else row.objectives)
        if one.cost is None
    ]
    data = ModelCardData(
        library_name="transformers",
        tags=["merge", "mergekit", "evomerge"],
        base_model=named or None,
        license=taken_over.licence,
        license_name="those-of-the-parents" if taken_over.licence == "other" else None,
        datasets=list(taken_over.datasets) or None,
        language=list(taken_over.languages) or None,
        base_model_relation="merge" if named else None,
        model_name=name if results else None,
        eval_results=results or None,
    )
    return f"{data.to_yaml()}\n"


def inherited(cards: Mapping[str, str | None]) -> Inherited:
    r"""Return what cards say, by their parents' names; None: the parent has none.

    >>> inherited({"a": "---\nlicense: mit\n---\n", "b": "---\nlicense: apache-2.0\n---\n"}).licence
    'other'
    """
    metadata = {name: _metadata(text) for name, text in cards.items()}
    licences = {
        name: str(found["license"]) for name, found in metadata.items() if isinstance(found.get("license"), str)
    }
    silent = [name for name in metadata if name not in licences]
    datasets, languages = (_all(metadata, key) for key in ("datasets", "language"))
    licence, note = None, ""
    if len(set(licences.values())) > 1:
        named = ", ".join(f"{name} {licence}" for name, licence in licences.items())
        licence, note = "other", f"The parents' licences differ ({named}): each of them binds this merge."
    elif licences:
        licence = next(iter(licences.values()))
    if licences and silent:
        note = f"{note} No licence is known of {', '.join(silent)}.".strip()
    return Inherited(licence, note, datasets, languages)


def card_beside(directory: Path) -> str | None:
    """Return the text of the card in a directory; None where there is none."""
    try:
        return content_of(directory / "README.md", _MOST_BYTES).decode()
    except (OSError, ValueError):
        return None


def _metadata(text: str | None) -> Mapping[str, Any]:
    if text is None or not text.startswith("---"):
        return {}
    return campaign_settings(text.split("\n---", 1)[0].removeprefix("---"))


def _all(metadata: Mapping[str, Mapping[str, Any]], key: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for one in metadata.values():
        value = one.get(key)
        named = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        found |= dict.fromkeys(name for name in named if isinstance(name, str))
    return tuple(found)
