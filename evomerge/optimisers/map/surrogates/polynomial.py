"""The terms of a quadratic over the unit cube."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from evomerge.typing import Floats

Form = Literal["linear", "diagonal", "full"]
FORMS: tuple[Form, ...] = get_args(Form)


def terms(genomes: Floats, form: Form) -> Floats:
    """Return (n, n_terms) terms of (n, dim) genomes in u = 2x - 1: 1, uᵢ; diagonal: and uᵢ²; full: and uᵢuⱼ, i < j."""
    u = 2.0 * np.asarray(genomes, dtype=np.float64) - 1.0
    columns = [np.ones((len(u), 1)), u]
    if form != "linear":
        columns.append(u**2)
    if form == "full":
        first, second = np.triu_indices(u.shape[1], k=1)
        columns.append(u[:, first] * u[:, second])
    return np.concatenate(columns, axis=1)


def n_terms(dim: int, form: Form) -> int:
    """Return how many terms there are; (dim + 1)(dim + 2)/2 for the full quadratic."""
    return {"linear": dim + 1, "diagonal": 2 * dim + 1, "full": (dim + 1) * (dim + 2) // 2}[form]
