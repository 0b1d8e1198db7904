"""The file that `evomerge reduce` writes: items, weights, item parameters, endpoints and the calibration report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from fitness.errors import FitnessError
from fitness.estimation.item_response import BankTask, ItemBank
from fitness.estimation.response_model import Form, ItemParameters
from fitness.estimation.task_estimates import Estimator
from fitness.reduction.calibration import Calibration
from fitness.reduction.response_matrix import shared_out

FORMAT, VERSION = "evomerge reduced benchmark", 1


@dataclass(frozen=True, eq=False)
class ReducedBenchmark:
    """A few items that stand for many, and what it takes to estimate from them.

    Attributes:
        items: ids of all items that it was made from, in the campaign's order.
        content: digest of what these items ask.
        anchors: id -> weight of the items that candidates are scored on, in the same order; each task's sum to 1.
        form: the response model's.
        bank: parameters of all items, abilities of the endpoints, the tasks.
        calibration: the report.
        origin: where the parameters came from, of a benchmark that was reduced by a bank; empty: from scores of the
            campaign's own merges, or a matrix.
    """

    items: tuple[str, ...]
    content: str
    anchors: Mapping[str, float]
    form: Form
    bank: ItemBank
    calibration: Calibration
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def estimator(self) -> Estimator:
        """The estimator that campaigns use unless told otherwise: the plain mean where nothing better was shown."""
        return self.calibration.estimator if self.calibration.better else "mean"

    @property
    def digest(self) -> str:
        """Return 64 hex digits that name the whole of it."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def items_for(self, n: int | None) -> tuple[str, ...]:
        """Return the items that candidates are scored on: n of the anchors, each task's first; None: all anchors."""
        if n is None:
            return tuple(self.anchors)
        of_task = [[self.items[i] for i in task.items if self.items[i] in self.anchors] for task in self.bank.tasks]
        sizes = shared_out(n, [len(anchors) for anchors in of_task])
        chosen = {item for anchors, size in zip(of_task, sizes, strict=True) for item in anchors[:size]}
        return tuple(item for item in self.anchors if item in chosen)

    def check_fits(self, items: Sequence[str], content: str) -> None:
        """Refuse items that it was not made from, or that ask something else."""
        if tuple(items) != self.items:
            only = [item for item in items if item not in set(self.items)]
            example = f", for example {only[0]!r}" if only else " in another order"
            raise FitnessError(
                f"reduced: expected the {len(self.items)} search items that it was made from, found {len(items)}, "
                f"{len(only)} of them others{example}: the campaign's tasks, splits or seed are not the same; undo "
                "that, or run `evomerge reduce` again (files of versions that split by lines: splits.drawn: by_place)"
            )
        if content != self.content:
            raise FitnessError(
                "reduced: expected the questions and answers that it was made from, found others under the same ids: a "
                "task file, the prompts or the tokenizer changed; undo that, or run `evomerge reduce` again"
            )

    def to_json(self) -> str:
        """Return what `read` reads."""
        parameters = self.bank.parameters
        data = {
            "format": FORMAT,
            "version": VERSION,
            "verdict": self.calibration.verdict,
            "content": self.content,
            **({"origin": dict(self.origin)} if self.origin else {}),
            "anchors": dict(self.anchors),
            "response_model": {"form": self.form, "dims": parameters.dims},
            "mixture": {"ridge": self.bank.mixture_ridge, "knows_shares": self.bank.knows_shares},
            "endpoints": {name: ability.tolist() for name, ability in self.bank.endpoints.items()},
            "tasks": {
                task.name: {
                    "modelled": task.modelled,
                    "irt_error": task.irt_error,
                    "response_variance": task.response_variance,
                    "mixture_bias2": task.mixture_bias2,
                    "items": [self.items[i] for i in task.items],
                }
                for task in self.bank.tasks
            },
            "calibration": asdict(self.calibration),
            "items": list(self.items),
            "discriminations": parameters.discriminations.tolist(),
            "intercepts": parameters.intercepts.tolist(),
            "guessing": parameters.guessing.tolist(),
        }
        return json.dumps(data, indent=1)

    @staticmethod
    def read(path: Path) -> ReducedBenchmark:
        """Read a file of `to_json`.

        Raises:
            FitnessError: there is none, it is something else, or a newer evomerge wrote it.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise FitnessError(
                f"{path}: expected a reduced benchmark, found: {error.strerror or error}; "
                f"make it: evomerge reduce CAMPAIGN.yaml --out {path}"
            ) from error
        except (ValueError, RecursionError) as error:
            raise FitnessError(f"{path}: expected a reduced benchmark, found broken JSON: {error}") from error
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise FitnessError(f"{path}: expected a file of `evomerge reduce`, found other JSON")
        if data.get("version") != VERSION:
            raise FitnessError(f"{path}: expected version {VERSION}, found {data.get('version')}; reduce again")
        try:
            return _from_data(data)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise FitnessError(
                f"{path}: expected a whole file of `evomerge reduce`, found a damaged one ({error!r}); reduce again"
            ) from error


def _from_data(data: Mapping[str, Any]) -> ReducedBenchmark:
    items = tuple(data["items"])
    place = {item: i for i, item in enumerate(items)}
    parameters = ItemParameters(
        np.array(data["discriminations"], dtype=np.float64).reshape(len(items), data["response_model"]["dims"]),
        np.array(data["intercepts"], dtype=np.float64),
        np.array(data["guessing"], dtype=np.float64),
    )
    tasks = tuple(
        BankTask(
            name,
            np.array([place[item] for item in task["items"]], dtype=np.intp),
            *(task[key] for key in ("modelled", "irt_error", "response_variance", "mixture_bias2")),
        )
        for name, task in data["tasks"].items()
    )
    endpoints = {name: np.array(ability, dtype=np.float64) for name, ability in data["endpoints"].items()}
    anchors = {item: float(weight) for item, weight in data["anchors"].items()}
    if not anchors.keys() <= place.keys():
        raise ValueError("an anchor is no item")
    mixture = data["mixture"]
    bank = ItemBank(parameters, endpoints, tasks, mixture["ridge"], mixture["knows_shares"])
    calibration = TypeAdapter(Calibration).validate_python(data["calibration"])
    form, origin = data["response_model"]["form"], dict(data.get("origin", {}))
    return ReducedBenchmark(items, data["content"], anchors, form, bank, calibration, origin)
