"""Banks of other projects, spoilt: item parameters, samples and results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
from hypothesis import strategies as st
from pyarrow import parquet

from tests.fuzz.mutations import as_json, mutated, mutated_bytes

ROWS: list[list[Any]] = [["X", "a1", "d", "g", "u"], *([f"X{i}", 1.5 - i, 0.25 * i, 0.1, 0.9] for i in range(8))]
SAMPLES: list[dict[str, Any]] = [
    {
        "doc_id": i,
        "arguments": {f"gen_args_{k}": {"arg_0": f"Question {i}", "arg_1": f" {c}"} for k, c in enumerate("ab")},
        "filter": "none",
        "metrics": ["acc"],
        "acc": float(i % 2),
    }
    for i in range(8)
]


def spoilt(directory: Path) -> st.SearchStrategy[tuple[str, bytes]]:
    """Return file names with contents."""
    whole = directory / "whole.parquet"
    columns = {"model": ["m", "n"] * 4, "doc_id": list(range(8)), "acc": [0.0, 1.0] * 4}
    parquet.write_table(pyarrow.table(columns), whole)
    written = "\n".join(",".join(map(str, row)) for row in ROWS)
    rows = mutated(ROWS).map(lambda table: _csv(table).encode("utf-8", "surrogatepass"))
    lines = st.tuples(*(st.just(row) | mutated(row) for row in SAMPLES)).map(
        lambda found: "\n".join(map(as_json, found)).encode("utf-8", "surrogatepass")
    )
    samples = "\n".join(map(json.dumps, SAMPLES)).encode()
    return st.one_of(
        st.tuples(st.just("bank.csv"), rows | mutated_bytes(written.encode())),
        st.tuples(st.just("samples_arc.jsonl"), lines | mutated_bytes(samples)),
        st.tuples(st.just("bank.parquet"), mutated_bytes(whole.read_bytes())),
    )


def _csv(table: Any) -> str:
    rows = table if isinstance(table, list) else [table]
    return "\n".join(",".join(map(str, row)) if isinstance(row, list) else str(row) for row in rows)


def read(found: tuple[str, bytes], directory: Path) -> None:
    """Read a bank, and match it to a campaign's items."""
    from evomerge.responses.bank import CampaignItems, match, read_bank

    name, content = found
    file = directory / name
    file.write_bytes(content)
    items = CampaignItems(tuple(f"arc/{i}" for i in range(8)), {}, {"arc": "acc"})
    matched = match(read_bank(str(file)), items)
    if matched.bank.answers:
        matched.matrix(items)
