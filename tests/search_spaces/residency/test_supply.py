from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from search_spaces.layers.architecture import build_module
from search_spaces.layers.sources import output_names
from search_spaces.live.resident import ResidentModel
from search_spaces.merging.materialise import carry_out_all
from search_spaces.merging.memory import MergeMemory
from search_spaces.merging.plan import plan_tensors
from search_spaces.operators.parameters import Kind
from search_spaces.operators.registry import OPERATORS
from search_spaces.parents.parents import Parents
from search_spaces.recipes.rule import Input, Rule
from search_spaces.residency.host_memory import HostMemory
from search_spaces.residency.supply import Mapped, Resident, Streamed, Supply
from tests.search_spaces.merging.random_statistics import write_statistics
from tests.search_spaces.merging.recipes import merge, recipe
from tests.search_spaces.residency.elsewhere import elsewhere

CPU = torch.device("cpu")

# Matrix products, decompositions and sums in another order: float32 rounds them otherwise on another device.
RELATIVE, ABSOLUTE = 1e-5, 1e-6


def streamed(device: torch.device, directory: Path, ahead_bytes: int = 2**28) -> Streamed:
    return Streamed(device, HostMemory(pinned=False, directory=directory), ahead_bytes=ahead_bytes)


WAYS: dict[str, Callable[[torch.device, Path], Supply]] = {
    "mapped": lambda device, _: Mapped(device),
    "resident": lambda device, _: Resident(device),
    "streamed": streamed,
    "streamed one by one": lambda device, directory: streamed(device, directory, 0),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_live_model_has_the_same_bits_whichever_way_its_parents_take(
    parents: Parents, way: str, tmp_path: Path
) -> None:
    plain = ResidentModel(build_module(parents["base"]), parents)
    supplied = ResidentModel(
        build_module(parents["base"]), parents, memory=MergeMemory(supply=WAYS[way](CPU, tmp_path))
    )
    for made in (merge(parents, "ties", alpha=0.7, beta=0.4), merge(parents, "ties", alpha=0.7, beta=0.0)):
        plain.become(made)
        supplied.become(made)
        for name, weight in plain.model.state_dict().items():
            assert weight.equal(supplied.model.state_dict()[name]), name


@pytest.mark.parametrize("way", WAYS)
def test_every_operator_merges_on_a_device_that_is_no_cpu_without_a_tensor_of_the_cpu_s(
    parents: Parents, way: str, tmp_path: Path
) -> None:
    store, digests = write_statistics(parents, tmp_path)
    memory = MergeMemory(statistics=store)
    for operator in sorted(OPERATORS) if way == "resident" else ("ties", "della", "sce"):
        known = OPERATORS[operator]
        names = ["alpha", "beta"] if known.n_inputs[1] != 1 else ["alpha"]
        inputs = tuple(Input(n, _needed(known.input_parameters)) for n in names)
        made = recipe(parents, Rule(operator, inputs, _needed(known.parameters)), statistics=digests)
        plans = list(plan_tensors(made, parents, output_names(made, parents)).values())
        expected = carry_out_all(plans, parents, memory=memory)
        with elsewhere() as device:
            there = MergeMemory(statistics=store, supply=WAYS[way](device, tmp_path))
            found = [tensor.cpu() for tensor in carry_out_all(plans, parents, memory=there)]
        for plan, one, other in zip(plans, expected, found, strict=True):
            if known.elementwise:
                assert one.equal(other), (operator, plan.name)
            else:
                torch.testing.assert_close(other, one, rtol=RELATIVE, atol=ABSOLUTE)


def _needed(kinds: Mapping[str, Kind]) -> dict[str, float]:
    """A number for each parameter that has no default."""
    return {name: 0.5 for name, kind in kinds.items() if kind.default is None}
