"""The tables of results."""

from __future__ import annotations

from rich.table import Table

from evomerge.api.texts import front_cells, held_out_cells
from evomerge.cli.terminal import add_row, plain_table
from evomerge.results.front import CampaignFront
from evomerge.results.verification.result import Verification


def front_table(front: CampaignFront) -> Table:
    """Return the Pareto front as a table, with picks."""
    header, rows = front_cells(front)
    table = plain_table("Pareto front on search items", header, rows, right=header[1 : header.index("scores")])
    if header[-1] == "layers":
        table.columns[-1].overflow = "fold"
    return table


def verification_table(verification: Verification) -> Table:
    """Return the held-out table, a line between kinds of models, the winner bold, then what the search bought."""
    header, rows = held_out_cells(verification)
    title = f"Held-out test items, verification {verification.number} on them"
    title = f"Final items, opened once for candidate {verification.winner}" if verification.split == "final" else title
    table = plain_table(title, header, right=header[1:])
    kind = verification.rows[0].kind
    for row, cells in zip(verification.rows, rows, strict=False):
        if row.kind != kind:
            table.add_section()
        kind = row.kind
        add_row(table, cells, style="bold" if row.candidate == verification.winner else "")
    table.add_section()
    for cells in rows[len(verification.rows) :]:
        add_row(table, cells)
    return table


def verdict_lines(verification: Verification) -> list[str]:
    """Return the winner's verdict with its facts, then those of the other winners."""
    lines = [] if verification.winners else [verification.verdict]
    for winner in verification.winners:
        lines += [winner.verdict, *(f"  - {fact}" for fact in winner.facts)]
    return lines
