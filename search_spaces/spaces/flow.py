"""Which paths through the layers of several models are searched."""

from __future__ import annotations

from dataclasses import dataclass

from search_spaces.errors import SpaceError
from search_spaces.operators.scales import Log

# Folded weights are rounded once more than those that were scored, and the difference grows as the product S of the
# scales leaves 1: on SmolLM2-135M in float32 the logits differ by a relative 4e-5 inside these bounds, 3e-4 at 0.002.
SAFE_PRODUCT = (0.25, 4.0)


@dataclass(frozen=True)
class Flow:
    """Which paths are searched.

    The sources' layers lie in a list, one source after another in order of depth, and the whole list `repeats` times;
    a path runs some of them in the order of the list (Akiba et al. 2024, "Evolutionary Optimization of Model Merging
    Recipes", data flow space).

    Attributes:
        repeats: how often the list is laid out.
        window: how many places of the list a layer can move, earlier or later; 0 keeps the order.
        scales: bounds of the factor on the hidden state when it enters a layer, 1 between them; None scales nothing.
        product: bounds that the product of all factors so far is kept in, inside [0.25, 4].
        max_depth: steps of the longest path, frozen ones included; None: as long as the list.
        frozen_prefix: how many layers of `frozen_from` every path begins with. Those layers of every source are
            outside the list.
        frozen_suffix: how many layers of `frozen_from` every path ends with, likewise.
        frozen_from: a source; None: the first.
    """

    repeats: int = 1
    window: int = 0
    scales: tuple[float, float] | None = None
    product: tuple[float, float] = SAFE_PRODUCT
    max_depth: int | None = None
    frozen_prefix: int = 0
    frozen_suffix: int = 0
    frozen_from: str | None = None

    def __post_init__(self) -> None:
        """Check the values that do not depend on the sources.

        Raises:
            SpaceError: a number out of range; the message names it.
        """
        least = {"repeats": 1, "window": 0, "frozen_prefix": 0, "frozen_suffix": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise SpaceError(f"{name}: expected at least {low}, found {getattr(self, name)}")
        if self.scales is not None and not (0 < self.scales[0] <= 1 <= self.scales[1] and Log(*self.scales)):
            raise SpaceError(f"scales: expected [low, high] with 0 < low <= 1 <= high, found {list(self.scales)}")
        if not SAFE_PRODUCT[0] <= self.product[0] <= 1 <= self.product[1] <= SAFE_PRODUCT[1]:
            raise SpaceError(
                f"scale_product: expected bounds inside {list(SAFE_PRODUCT)} with 1 between them, found "
                f"{list(self.product)}; beyond, rounding would make the export differ from what was scored"
            )
