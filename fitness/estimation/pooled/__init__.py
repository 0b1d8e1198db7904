"""A response model pooled over candidates whose genes are known: what answers to items of their own say of all items.

    logit P(candidate i gets item j right) = ability(x_i) + own_i + easiness_j

`ability` is a Gaussian process over the genes x (Matern 5/2, a length per gene), `own_i` what is particular to one
candidate, and easiness_j ~ N(0, tau^2): the Rasch model (1960) with the genes as explanation (De Boeck and Wilson,
Explanatory Item Response Models, 2004), one for each set of tasks that the same objectives have.
"""

from fitness.estimation.pooled.paths import Paths
from fitness.estimation.pooled.responses import PooledResponses, Prediction
from fitness.estimation.pooled.settings import Settings

__all__ = ["Paths", "PooledResponses", "Prediction", "Settings"]
