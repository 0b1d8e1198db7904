"""Names of array types."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Genome = NDArray[np.float64]  # (dim,), in [0, 1]
