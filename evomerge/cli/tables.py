"""The tables of results, as wide as the terminal: where it is narrow, values stand without their errors."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.table import Table

from evomerge.api.texts import against_cells, front_cells, held_out_cells
from evomerge.cli.terminal import add_row, plain_table
from evomerge.results.front import CampaignFront
from evomerge.results.verification.result import Verification

BETWEEN = 3  # cells: a line, and room on both sides
PICKS = 12  # cells that they have at least


def front_table(front: CampaignFront, width: int) -> Table:
    """Return the Pareto front as a table, with picks; under it the parents and baselines that are not on it."""
    header, rows = front_cells(front, beside=True)
    scores, n_objectives = header.index("scores"), header.index("mean") - 1
    if {row[scores] for row in rows} == {"full"}:  # as usual
        header, *rows = [[*row[:scores], *row[scores + 1 :]] for row in (header, *rows)]
    numbers = [row[: n_objectives + 3] for row in (header, *rows)]
    if _width(numbers[0], numbers[1:]) + BETWEEN + PICKS > width:
        rows = [_without_errors(row, n_objectives) for row in rows]
    table = plain_table("Pareto front on search items", header, right=header[1 : n_objectives + 3])
    for i, row in enumerate(rows):
        if i == len(front.points):
            table.add_section()
        add_row(table, row)
    if header[-1] == "layers":
        table.columns[-1].overflow = "fold"
    return table


def verification_table(verification: Verification, width: int) -> Table:
    """Return the held-out table: models, a line between their kinds, the winner bold; then what winners are ahead."""
    header, rows = held_out_cells(verification)
    header, rows = header[:-1], [row[:-1] for row in rows[: len(verification.rows)]]
    if _width(header, rows) > width:
        rows = [_without_errors(row, len(header) - 2) for row in rows]
    title = f"Held-out test items, verification {verification.number} on them; differences with 95 % intervals"
    title = f"Final items, opened once for candidate {verification.winner}" if verification.split == "final" else title
    table = plain_table(title, header, right=header[1:])
    kind = verification.rows[0].kind
    for row, cells in zip(verification.rows, rows, strict=True):
        if row.kind != kind:
            table.add_section()
        kind = row.kind
        add_row(table, cells, style="bold" if row.candidate == verification.winner else "")
    table.add_section()
    for cells in against_cells(verification):
        add_row(table, [cells[0], *(cell.replace(" (", "\n").rstrip(")") for cell in cells[1:])])
    return table


def verdict_lines(verification: Verification) -> list[str]:
    """Return the winner's verdict with the facts that the table does not have, then those of the other winners."""
    lines = [] if verification.winners else [verification.verdict]
    for winner in verification.winners:
        lines += [winner.verdict, *(f"  - {fact}" for fact in winner.further_facts)]
    return lines


def _width(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return how wide a table is whose cells all have their room."""
    return 1 + sum(BETWEEN + max(map(cell_len, column)) for column in zip(header, *rows, strict=True))


def _without_errors(row: Sequence[str], n_objectives: int) -> list[str]:
    values = [cell.partition(" ± ")[0] for cell in row[1 : 1 + n_objectives]]
    return [row[0], *values, *row[1 + n_objectives :]]
