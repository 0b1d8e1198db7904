"""MLflow."""

from __future__ import annotations

import csv
import io
import os
import re
import time
from collections.abc import Mapping, Sequence

from evomerge.tracking.protocol import Subject

_NO_NAME = re.compile(r"[^\w\-. /]")
_MOST_OF_A_VALUE = 500


class MlflowRun:
    """A run in the experiment `MLFLOW_EXPERIMENT_NAME` (default evomerge) at `MLFLOW_TRACKING_URI`.

    Without an address it is kept in `mlflow.db` of the run directory (SQLite).
    """

    def __init__(self, subject: Subject) -> None:
        """Begin the run, or go on with it."""
        from mlflow import MlflowClient

        own = f"sqlite:///{subject.directory / 'mlflow.db'}"
        self._uri = os.environ.get("MLFLOW_TRACKING_URI") or own
        self._client = MlflowClient(tracking_uri=self._uri)
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", "evomerge")
        known = self._client.get_experiment_by_name(experiment)
        files = str(subject.directory / "mlflow") if self._uri == own else None
        number = known.experiment_id if known else self._client.create_experiment(experiment, artifact_location=files)
        begun = self._client.search_runs([number], filter_string=f"tags.`evomerge.key` = '{subject.key}'")
        if begun:
            self._run = begun[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
            return
        run = self._client.create_run(number, run_name=subject.name, tags={"evomerge.key": subject.key})
        self._run = run.info.run_id
        for key, value in _flat("", subject.settings):
            self._client.log_param(self._run, _NO_NAME.sub("_", key), value[:_MOST_OF_A_VALUE])

    @property
    def place(self) -> str:
        """Its store."""
        return f"{self._uri} (mlflow ui --backend-store-uri URI shows it)"

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log a step."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(_NO_NAME.sub("_", name), value, now, step) for name, value in values.items()]
        for first in range(0, len(metrics), 1000):  # as many as MLflow takes at once
            self._client.log_batch(self._run, metrics=metrics[first : first + 1000])

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> None:
        """Keep a table as CSV."""
        text = io.StringIO()
        csv.writer(text).writerows([columns, *rows])
        self._client.log_text(self._run, text.getvalue(), f"{name}.csv")

    def close(self) -> None:
        """End the run."""
        self._client.set_terminated(self._run)


def _flat(key: str, value: object) -> list[tuple[str, str]]:
    """Return dotted key -> value of nested settings."""
    if isinstance(value, Mapping):
        return [pair for name, one in value.items() for pair in _flat(f"{key}.{name}" if key else str(name), one)]
    return [(key, str(value))] if value is not None else []
