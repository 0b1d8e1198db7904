"""Which genes the objectives depend on, each gene alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from evomerge.results.pages.snapshot import Snapshot, number
from evomerge.typing import Floats

FEWEST = 30  # candidates
_MOST_BINS = 8
_MOST_GENES = 40


def importances(snapshot: Snapshot) -> dict[str, Any]:
    """Return the share of every objective's variance that each gene alone accounts for, and of the mean's.

    Candidates are those that an optimiser proposed: where it went, not the whole space.
    """
    scored, names = snapshot.contents.scored, list(snapshot.genes.names)
    found = [(c.number, c.genome) for c in snapshot.candidates if isinstance(c.genome, np.ndarray)]
    usual = Counter(len(genome) for _, genome in found).most_common(1)  # a search may go on with more genes
    genomes = {number: genome for number, genome in found if len(genome) == usual[0][0]}
    at = [i for i, n in enumerate(scored.numbers.tolist()) if n in genomes and scored.whole[i]]
    if len(at) < FEWEST:
        return {"genes": [], "candidates": len(at), "needed": FEWEST, "objectives": list(scored.objectives)}
    genes = np.stack([genomes[n] for n in scored.numbers[at].tolist()])
    names = names if len(names) == genes.shape[1] else [f"gene {k}" for k in range(genes.shape[1])]
    targets = np.column_stack([scored.means[at], scored.values[at]])
    shares = np.array([[explained(gene, target) for target in targets.T] for gene in genes.T])
    order = np.argsort(-shares.max(axis=1), kind="stable")[:_MOST_GENES]
    told = [{"name": names[k], "shares": [number(share) for share in shares[k].tolist()]} for k in order.tolist()]
    return {"genes": told, "candidates": len(at), "needed": FEWEST, "objectives": list(scored.objectives)}


def explained(gene: Floats, target: Floats) -> float:
    """Return the share, 0 to 1, of the variance of (n,) values that bins of a gene account for, chance taken off.

    The first-order sensitivity from given data (Plischke 2010), with bins of equal counts; epsilon squared (Kelley
    1935) in place of eta squared, whose expectation without any effect is 0.
    """
    n = len(gene)
    bins = min(_MOST_BINS, max(2, n // 12))
    ranks = np.argsort(np.argsort(gene, kind="stable"), kind="stable")
    _, first, counts = np.unique(gene, return_inverse=True, return_counts=True)
    member = ranks * bins // n
    if len(counts) <= bins:
        member, bins = first, len(counts)
    total = float(((target - target.mean()) ** 2).sum())
    sizes = np.bincount(member, minlength=bins)
    if total <= 0 or bins < 2 or n <= bins:
        return 0.0
    means = np.bincount(member, weights=target, minlength=bins) / np.maximum(sizes, 1)
    within = float(((target - means[member]) ** 2).sum())
    return float(np.clip(1 - (within / (n - bins)) / (total / (n - 1)), 0.0, 1.0))
