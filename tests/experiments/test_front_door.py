"""Experiments use evomerge as a user does: by `import evomerge`, and by the faces of the rooms that they are about."""

from __future__ import annotations

import ast
from pathlib import Path

from experiments.house.imports import Sources

PACKAGES = ("evomerge", "fitness", "search_spaces")
FACES = {*PACKAGES, "fitness.estimation"}
REQUESTS = "fitness.engine.language_model"  # the types `Request` and `Answer`
# What an experiment is about, where that stands on no face.
INSIDE = {
    # The loop and its pools, with workers that cost nothing.
    "experiments.benchmarks.driver": {
        "evomerge.archive",
        "evomerge.campaign.campaign",
        "evomerge.campaign.progress",
        "evomerge.workers.in_process",
        "evomerge.workers.protocol",
        "evomerge.workers.ray_pool",
    },
    # How threads wait while others hold the cores, under a campaign's own worker.
    "experiments.benchmarks.busy": {
        "evomerge.assembly",
        "evomerge.candidate",
        "evomerge.config",
        "evomerge.workers.sharing",
        "evomerge.workers.threads",
    },
    # The driver without workers' work, and bytes of scores.
    "experiments.benchmarks.scale.driver": {
        "evomerge.archive",
        "evomerge.archive.codec",
        "evomerge.workers.in_process",
        "evomerge.workers.ray_pool",
        "fitness.scores",
    },
    # Token ids, laid out once.
    "experiments.benchmarks.scale.tokens": {
        "fitness.engine.scoring.packed",
        "fitness.engine.scoring.windows",
        "fitness.engine.tokens.request_store",
    },
    # Where parents lie while candidates are merged, and the engine by itself.
    "experiments.benchmarks.gpu": {
        "fitness.engine.engines",
        REQUESTS,
        "search_spaces.live.placing",
        "search_spaces.residency.host_memory",
        "search_spaces.residency.supply",
    },
    # The past of a search, read, and shown.
    "experiments.benchmarks.resume": {"evomerge.archive"},
    "experiments.benchmarks.studio": {"evomerge.archive"},
    # Candidates scored one by one and together.
    "experiments.benchmarks.layer_flow": {"evomerge.workers.worker"},
    "experiments.benchmarks.copying": {"search_spaces.merging.plan"},
    # The arithmetic of one tensor, and random statistics to read.
    "experiments.benchmarks.materialise": {
        "search_spaces.merging.materialise",
        "search_spaces.merging.plan",
        "search_spaces.operators.kernels.compiled",
        "search_spaces.statistics.store",
    },
    # The engine's requests, and the tokens that they cannot do without.
    "experiments.benchmarks.arithmetic_limit": {REQUESTS, "fitness.engine.scoring.windows"},
    "experiments.benchmarks.lm_eval_peer": {REQUESTS},
    "experiments.benchmarks.scoring": {REQUESTS},
    "experiments.benchmarks.scoring_cases": {REQUESTS},
    # Estimates from any items, not only from those that a reduced benchmark chose.
    "experiments.reduction.calibrations": {"fitness.estimation.item_response", "fitness.estimation.task_estimates"},
    # Live models of a campaign, compared as `fitness.screening` does.
    "experiments.reduction.screening": {
        "evomerge.assembly",
        "evomerge.assembly.live_models",
        REQUESTS,
        "fitness.screening.experts",
        "fitness.screening.screening",
        "fitness.tasks.divergence",
    },
    # What is said of a winner by its scores.
    "experiments.reduction.power": {
        "evomerge.results.verification.looks",
        "evomerge.results.verification.standing",
    },
    # What is expected of picks, in archives of real merges.
    "experiments.reduction.selected_estimates": {
        "evomerge.archive",
        "evomerge.results.selected",
        "fitness.protocols",
        "fitness.reduction.reduced_estimator",
        "fitness.scores",
    },
    # Pieces of stored networks, as M2N2 crosses them, and who competes for what.
    "experiments.m2n2_digits.baselines": {
        "evomerge.optimisers.niches.niches",
        "search_spaces.spaces.niches.stored_crossover",
    },
    "experiments.m2n2_digits.runs": {
        "search_spaces.recipes.flat_layout",
        "search_spaces.spaces.niches.stored_crossover",
    },
    # Banks of items, read, linked to and written.
    "experiments.reduction.bank_files": {"fitness.estimation.response_model", "fitness.reduction.response_matrix"},
    "experiments.reduction.banks": {
        "evomerge.api.banks",
        "evomerge.responses.bank",
        "fitness.estimation.item_response",
    },
    # What is picked of candidates that answered items of their own.
    "experiments.reduction.own_items": {
        "evomerge.archive",
        "evomerge.results.picks",
        "evomerge.results.pooled",
        "evomerge.results.selected",
        "evomerge.schedules.all_items",
        "evomerge.schedules.own_items",
        "evomerge.schedules.protocol",
        "evomerge.seeds",
        "fitness.scores",
    },
    "experiments.reduction.pooled": {"evomerge.seeds", "fitness.estimation.pooled"},
    "experiments.reduction.telling": {"evomerge.schedules.blocks", "evomerge.seeds", "fitness.estimation.pooled"},
    # Right answers and signals, collected as `evomerge reduce` collects answers, and pooled.
    "experiments.reduction.signals_matrix": {"evomerge.api.search", "evomerge.assembly", "evomerge.responses"},
    "experiments.reduction.signals": {"evomerge.seeds", "fitness.estimation.pooled", "fitness.signals"},
    # Answers pooled over genes, and which genes a matrix's merges have.
    "experiments.reduction.allocation": {"fitness.estimation.pooled"},
    "experiments.surrogate_benchmark.matrices": {"search_spaces.spaces.known_merges"},
    # The loop, optimisers and schedules as a campaign has them, with emulated models; what verification picks.
    "experiments.surrogate_benchmark.runs": {
        "evomerge.archive",
        "evomerge.campaign.campaign",
        "evomerge.campaign.progress",
        "evomerge.kinds",
        "evomerge.optimisers.after_landmarks",
        "evomerge.optimisers.in_generations",
        "evomerge.optimisers.registry",
        "evomerge.results.front",
        "evomerge.results.pooled",
        "evomerge.results.verification.contenders",
        "evomerge.schedules.options",
        "evomerge.schedules.protocol",
        "evomerge.workers.in_process",
        "search_spaces.spaces.known_merges",
    },
    # The verifier, on an archive and a pool of simulated models.
    "experiments.reduction.simulated_campaigns": {
        "evomerge.archive",
        "evomerge.results.verification.result",
        "evomerge.results.verification.verifier",
        "evomerge.workers.in_process",
    },
}


def test_experiments_import_faces_and_what_they_measure() -> None:
    trees = Sources.read(Path(__file__).parents[2], ("experiments",)).trees
    inside = {name: imported(tree) - FACES for name, tree in trees.items()}
    assert {name: modules for name, modules in inside.items() if modules} == INSIDE


def imported(tree: ast.AST) -> set[str]:
    """Return the modules of the three packages that a file imports, wherever in it."""
    nodes = list(ast.walk(tree))
    names = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name for name in names if name.split(".")[0] in PACKAGES}
