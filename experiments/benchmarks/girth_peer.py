"""girth's fit of a 2PL model, by a Python that has girth 0.8: `PYTHON girth_peer.py SCORES.npy OUT.npz`.

Marginal maximum likelihood of the items, then expected a posteriori abilities: its own defaults for both.
"""

import sys
import time

import numpy as np
from girth import ability_eap, twopl_mml  # type: ignore[import-not-found]


def main(scores_file: str, out_file: str) -> None:
    """Fit (n_models, n_items) scores; write abilities, discriminations, difficulties and seconds."""
    scores = np.load(scores_file).astype(int).T  # girth wants items in rows
    began = time.perf_counter()
    items = twopl_mml(scores)
    abilities = ability_eap(scores, items["Difficulty"], items["Discrimination"])
    seconds = time.perf_counter() - began
    np.savez(out_file, abilities=abilities, a=items["Discrimination"], b=items["Difficulty"], seconds=seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
