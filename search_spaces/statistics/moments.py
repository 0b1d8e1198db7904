"""Adam's second moments, as a trainer left them in a safetensors file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from search_spaces.errors import SpaceError

# Where a name says that it is a second moment; what is left names the weight.
_WHOLE = re.compile(r"(^|\.)exp_avg_sq(?=\.|$)")
_FACTOR = re.compile(r"(^|\.)exp_avg_sq_(row|col)(?=\.|$)")


def read_moments(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Give each weight's second moment v = E g² as the optimiser holds it, by the checkpoint's names.

    A safetensors file is read, never a pickled optimiser. Its names are the checkpoint's, alone, or with `exp_avg_sq`
    before or after them (`exp_avg_sq.model.norm.weight`, `model.norm.weight.exp_avg_sq`). Adafactor's factors
    `exp_avg_sq_row` r (o,) and `exp_avg_sq_col` c (n,), means over the other axis, become v = r cᵀ / mean(r).

    Raises:
        SpaceError: the file is not one of safetensors, or has a moment that is negative, not finite or half a pair.

    Reference: Shazeer & Stern 2018, "Adafactor" (arXiv 1804.04235), algorithm 4.
    """
    try:
        file: Any = safe_open(path, "pt")
    except (OSError, SafetensorError) as error:
        raise SpaceError(
            f"moments: expected a safetensors file of Adam's second moments, found {path} ({error}); save the "
            "optimiser's exp_avg_sq with safetensors.torch.save_file, under the weights' names"
        ) from error
    keys = list(file.keys())
    factors: dict[str, dict[str, str]] = {}
    marked = any(_WHOLE.search(key) or _FACTOR.search(key) for key in keys)  # first moments lie beside them
    for key in keys:
        factor = _FACTOR.search(key)
        if factor is not None:
            factors.setdefault(_weight(key, _FACTOR), {})[factor[2]] = key
        elif _WHOLE.search(key) or not marked:
            yield _weight(key, _WHOLE), _checked(key, file.get_tensor(key).float())
    for name, pair in factors.items():
        if pair.keys() != {"row", "col"}:
            raise SpaceError(f"moments: expected exp_avg_sq_row and exp_avg_sq_col of {name}, found {sorted(pair)}")
        row, column = (_checked(pair[side], file.get_tensor(pair[side]).float()) for side in ("row", "col"))
        mean = row.mean(dim=-1, keepdim=True)[..., None].clamp(min=1e-38)
        yield name, row[..., :, None] * column[..., None, :] / mean


def _weight(key: str, mark: re.Pattern[str]) -> str:
    return mark.sub("", key).removeprefix("state.").strip(".")


def _checked(key: str, moment: Tensor) -> Tensor:
    if not bool(((moment >= 0) & moment.isfinite()).all()):
        raise SpaceError(f"moments: expected finite second moments of at least 0, found others in {key}")
    return moment
