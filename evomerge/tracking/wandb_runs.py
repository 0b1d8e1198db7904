"""Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from evomerge.tracking.protocol import Subject, TrackingError


class WandbRun:
    """A run in the project `WANDB_PROJECT` (default evomerge); `WANDB_MODE=offline` writes into the run directory.

    Nothing of the machine is sent: no host, user, program or git state.
    """

    def __init__(self, subject: Subject) -> None:
        """Begin the run, or go on with it.

        Raises:
            TrackingError: nobody is logged in.
        """
        import wandb

        mode = os.environ.get("WANDB_MODE", "online")
        if mode in ("online", "shared") and not wandb.api.api_key:  # it would ask on the terminal
            raise TrackingError("expected a login: run `wandb login`, set WANDB_API_KEY, or set WANDB_MODE=offline")
        quiet = {"silent": True, "console": "off", "disable_git": True, "disable_code": True}
        unseen = {"x_disable_meta": True, "x_disable_stats": True, "x_disable_machine_info": True}
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "evomerge"),
            name=subject.name,
            id=subject.key,
            resume="allow" if mode == "online" else None,
            config=dict(subject.settings),
            dir=str(subject.directory),
            settings=wandb.Settings(**quiet, **unseen),
        )

    @property
    def place(self) -> str:
        """Its address, or its directory."""
        return f"{self._run.dir} (wandb sync sends it)" if self._run.offline else str(self._run.url)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log a step."""
        self._run.log(dict(values), step=step)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> None:
        """Log a table."""
        import wandb

        self._run.log({name: wandb.Table(columns=list(columns), data=[list(row) for row in rows])})

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()
