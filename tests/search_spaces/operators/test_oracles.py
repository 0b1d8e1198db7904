"""What every operator of the catalogue must do, whatever it is: it is tested from the day it is registered.

An operator that cannot keep a promise that is not in the contract is named here, with the reason.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from evomerge.testing.operator_contract import OperatorContract, operands_for
from search_spaces.operators import operator
from search_spaces.operators.registry import OPERATORS, Operator
from search_spaces.recipes.groups import locate
from search_spaces.recipes.rule import Input, Parameter, Rule
from tests.search_spaces.operators.merging import example, merge, operands

# A sum of N equal task vectors is not one of them, however weighted: claims and competitions count, spectra are sums.
NO_MEAN = {
    "consensus_ta": "sums what is claimed",
    "consensus_ties": "sums what is claimed",
    "pcb": "keeps the winners of a competition only",
    "nearswap": "moves by t at most",
    "arcee_fusion": "keeps what is important only",
    "composed": "tested as the operators that it composes",
    "doge": "keeps what is large, and the scale of what is shared",
    "sens_merging": "a sum, unless normalize",
    **dict.fromkeys(("iso_c", "iso_cts", "tsv_m", "r_tsvm", "star", "adarank", "lore", "opcm"), "see test_spectral"),
    "rank_scaled": "see test_rank_scaling",
}
# What counts as zero, small or saturated has the weights' own unit.
ABSOLUTE = {"nearswap", "arcee_fusion", "ram", "ramplus_tl", "pcb"}


class TestCatalogue(OperatorContract):
    @pytest.fixture(params=OPERATORS.values(), ids=OPERATORS.keys())
    def operator(self, request: pytest.FixtureRequest) -> Operator:
        found: Operator = request.param
        return found


def alike(row: Operator, **changes: Parameter) -> Rule:
    """An example whose weights are 1, divided by their sum where the operator can."""
    return example(row, **{"weight": 1.0, "normalize": True, "t": 0.3, "clip": 0.0, **changes})


@pytest.mark.parametrize("name", sorted(set(OPERATORS) - set(NO_MEAN)))
@pytest.mark.parametrize("deltas", [False, True])
def test_identical_parents_give_that_parent(name: str, deltas: bool) -> None:
    rule = alike(OPERATORS[name], deltas=deltas)
    tensors, base = operands(rule)
    merged = merge(rule, [tensors[0]] * len(tensors), base)
    torch.testing.assert_close(merged, tensors[0], rtol=1e-5, atol=1e-6)


WEIGHTED = sorted(
    name
    for name, row in OPERATORS.items()
    if "weight" in row.input_parameters and row.input_parameters["weight"].gene and name not in NO_MEAN
)


@pytest.mark.parametrize("name", WEIGHTED)
def test_one_parent_with_all_the_weight_comes_back(name: str) -> None:
    rule = alike(OPERATORS[name])
    tensors, base = operands(rule)
    alone = tuple(Input(i.parent, {**i.parameters, "weight": float(k == 1)}) for k, i in enumerate(rule.inputs))
    merged = merge(replace(rule, inputs=alone), tensors, base)
    if OPERATORS[name].needs_base:
        torch.testing.assert_close(merged, tensors[1], rtol=1e-5, atol=1e-6)
    else:
        assert torch.equal(merged, tensors[1])


@pytest.mark.parametrize("name", sorted(set(OPERATORS) - ABSOLUTE))
def test_scaling_all_operands_scales_the_result(name: str) -> None:
    rule = example(OPERATORS[name], density=0.5)
    tensors, base = operands(rule)
    scaled = merge(rule, [4 * tensor for tensor in tensors], 4 * base)
    torch.testing.assert_close(scaled, 4 * merge(rule, tensors, base), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "layer", "head", "gain"),
    [
        ("model.layers.0.mlp.up_proj.weight", (0, 5), "start", 0.5),
        ("model.layers.1.mlp.up_proj.weight", (1, 5), "start", 0.8),
        ("model.layers.4.mlp.up_proj.weight", (4, 5), "start", 1.7),
        ("model.layers.0.mlp.up_proj.weight", (0, 1), "start", 1.7),
        ("model.embed_tokens.weight", None, "end", 0.5),
        ("lm_head.weight", None, "start", 0.5),
        ("lm_head.weight", None, "end", 1.7),
    ],
)
def test_lines_scales_the_merged_task_vector_over_the_depth(
    name: str, layer: tuple[int, int] | None, head: str, gain: float
) -> None:
    lines: dict[str, Parameter] = {"lines_alpha": 0.5, "lines_beta": 1.2, "lines_head": head}
    made = operands_for(OPERATORS["ties"], **{"lambda": 1.0, **lines})
    assert operator.gain(replace(made, name=name, layer=layer, side=locate(name).side)) == pytest.approx(gain)
