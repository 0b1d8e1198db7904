"""Which documents of an lm-eval task come together: those with one passage, article, story, premise or dialogue."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from fitness.errors import FitnessError, did_you_mean
from fitness.tasks.groups import NO_GROUP

# Fields of lm-eval's data sets (0.4.13) that hold, or name, what several questions are asked about: `context` in SQuAD,
# XQuAD, TyDiQA, MLQA, LogiQA, SocialIQA and BBQ, `passage` in BoolQ, DROP, ReCoRD and bAbI, `paragraph` in MultiRC,
# `flores_passage` in Belebele, `document_str` in QA4MRE, `article` in RACE, `story` in CoQA, `premise` in XNLI, MNLI,
# ANLI, CB and COPA. `group` is not among them: ACPBench calls kinds of questions so.
_FIELDS = (
    *("dialogue_id", "dialog_id", "conversation_id", "story_id", "passage_id", "paragraph_id", "article_id"),
    *("passage", "paragraph", "flores_passage", "context", "article", "story", "document", "document_str"),
    *("dialogue", "dialog", "conversation", "premise"),
)


def groups_of_documents(task: str, documents: Mapping[str, Any], field: str = "") -> dict[str, str]:
    """Return item -> its document's value of a field, by default of the first known one that groups these documents.

    Documents without a value (of texts a blank one) are left out. A known field that is the same in all of them groups
    nothing; `none` is no field.

    Raises:
        FitnessError: no document has the field that was asked for.
    """
    if field == NO_GROUP:
        return {}
    if field:
        if found := _values(documents, field):
            return found
        known = sorted({name for document in documents.values() if isinstance(document, Mapping) for name in document})
        expected = f"a field that groups its documents, or {NO_GROUP}"
        hint = did_you_mean(field, known, f"they have {', '.join(known) or 'none'}")
        raise FitnessError(f"task {task!r}, group: expected {expected}, found {field!r}, which none has; {hint}")
    for name in _FIELDS:
        found = _values(documents, name)
        if len(set(found.values())) > 1:
            return found
    return {}


def _values(documents: Mapping[str, Any], field: str) -> dict[str, str]:
    values = {
        item: _name(document[field])
        for item, document in documents.items()
        if isinstance(document, Mapping) and field in document
    }
    return {item: value for item, value in values.items() if value}


def _name(value: Any) -> str:
    """Return a value as the name of a group: a text as it is; empty where there is none."""
    if value in (None, "", [], {}) or (isinstance(value, float) and math.isnan(value)):
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
