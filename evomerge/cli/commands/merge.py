"""`evomerge merge`: one recipe carried out, no search."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from evomerge.api.merging import merge as carry_out


def merge(recipe: Path, out: Path, console: Console, *, as_adapter: bool = False, rank: int | None = None) -> None:
    """Carry out a recipe and print where the result is, and what an adapter loses."""
    done = carry_out(recipe, out, as_adapter=as_adapter, rank=rank)
    if not as_adapter:
        console.print(f"merged model: {done.directory}", highlight=False)
        return
    loss = "exact: the parents' ranks add up"
    if done.error > 0.0:
        name, share = done.worst
        loss = f"reconstruction error {done.error:.2%} of the change's norm, {share:.2%} in {name}"
    console.print(f"merged adapter: {done.directory} (rank {done.rank}, {loss})", highlight=False)
