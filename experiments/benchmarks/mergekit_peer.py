"""mergekit's graph on a recipe of ours, in another Python (`mergekit_graph.py` is what it runs)."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

import evomerge as em
from search_spaces import OPERATORS, to_mergekit


def peer_seconds(recipe: em.Recipe, python: Path) -> float:
    """Return the seconds of mergekit's graph for a recipe."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(to_mergekit(_unscaled(recipe)))
        file.flush()
        script = Path(__file__).with_name("mergekit_graph.py")
        command = [str(python), str(script), file.name, str(torch.get_num_threads())]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def _unscaled(recipe: em.Recipe) -> em.Recipe:
    """Return a recipe that does not rescale by the density, which mergekit's DARE cannot: a factor less of its work."""

    def without(rule: em.Rule) -> em.Rule:
        known = "rescale" in OPERATORS[rule.operator].parameters
        return replace(rule, parameters={**rule.parameters, "rescale": "none"}) if known else rule

    return replace(recipe, rules=tuple(map(without, recipe.rules)))
