"""What a campaign file may say of operators and genes is what the operators take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import evomerge as em
from evomerge.spaces.genes import SEARCHED, Gene, checked_genes
from search_spaces.errors import SpaceError
from search_spaces.operators import registry
from search_spaces.recipes.groups import Groups
from search_spaces.recipes.recipe import ParentSource
from search_spaces.recipes.rule import Rule
from search_spaces.spaces.weight_space import WeightSpace

PARENTS = {name: ParentSource(name) for name in ("base", "a", "b")}
GIVEN: dict[str, dict[str, Gene]] = {"mwa": {"metric": {"a": 2.0, "b": 1.0}}}


def test_every_operator_that_merges_several_parents_is_searched() -> None:
    assert set(SEARCHED) == {name for name, operator in registry.OPERATORS.items() if operator.n_inputs[1] != 1}


@pytest.mark.parametrize("name", SEARCHED)
def test_the_default_genes_of_an_operator_make_a_search_space(name: str) -> None:
    genes = checked_genes(GIVEN.get(name, {}), (name,))
    space = WeightSpace(PARENTS, "base", n_layers=4, operators=[name], groups=Groups(2), genes=genes)
    assert space.dim > 0


def test_the_default_genes_of_all_operators_together_make_a_search_space() -> None:
    genes = checked_genes({"metric": {"a": 2.0, "b": 1.0}}, SEARCHED)
    arguments = {"n_layers": 4, "operators": SEARCHED, "groups": Groups(2), "genes": genes}
    assert WeightSpace(PARENTS, "base", operator_per="group", **arguments).dim > 30  # type: ignore[arg-type]


@given(
    operator=st.sampled_from(SEARCHED),
    value=st.floats(-2, 2) | st.sampled_from([0.0, 1.0, True, False, "plus", "tensor"]),
    data=st.data(),
)
def test_config_allows_exactly_the_values_that_the_registry_takes(
    operator: str, value: float | bool | str, data: st.DataObject
) -> None:
    kinds = registry.OPERATORS[operator].kinds
    name = data.draw(st.sampled_from(sorted(kinds)))
    genes = {**GIVEN.get(operator, {}), name: value}
    try:
        kinds[name].checked(value, name)
    except SpaceError:
        with pytest.raises(ValueError, match="expected"):
            checked_genes(genes, (operator, "linear"))
    else:
        assert checked_genes(genes, (operator, "linear"))[name] == value


@pytest.mark.parametrize(
    ("operator", "genes", "message"),
    [
        ("ties", {"zero_sign": ("plus", "minus")}, r"expected one of \['plus', 'majority', 'drop'\]"),
        ("ties", {"weight": {"a": (1.0, 0.0)}}, "expected low < high"),
        ("ties", {"normalize": 1.0}, "expected true or false"),
        ("wsm", {"window": (0.5, 3.0)}, "expected a whole number of at least 0"),
        ("mwa", {}, "expected the key metric"),
    ],
)
def test_what_makes_no_sense_is_refused(operator: str, genes: dict[str, Gene], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_genes(genes, (operator,))


def test_rules_of_unknown_operators_are_refused_by_the_registry() -> None:
    with pytest.raises(SpaceError, match="did you mean 'ties'"):
        registry.check_rule(Rule("tise", ()))


def test_operators_that_share_a_gene_read_it_between_bounds_that_suit_each() -> None:
    genes = em.spaces.Weights(["task_arithmetic", "regmean", "linear"]).genes
    assert genes["weight"] == (0.0, 1.5)
    assert genes["regmean"] == {"weight": registry.find_operator("regmean").genes["weight"]}
    assert "linear" not in genes  # the same bounds
    assert "regmean" not in em.spaces.Weights(["task_arithmetic", "regmean"], genes={"weight": (0.0, 1.0)}).genes
    own = {"weight": (0.0, 1.0), "regmean": {"weight": (0.5, 2.0)}}
    assert em.spaces.Weights(["task_arithmetic", "regmean"], genes=own).genes["regmean"] == {"weight": (0.5, 2.0)}


def test_a_space_says_which_of_its_operators_defaults_are_traps() -> None:
    assert em.spaces.Weights(["ties", "task_arithmetic", "tsv_m"]).cautions == ()
    (stock,) = em.spaces.Weights("model_stock").cautions
    assert stock.startswith("model_stock: it gives nearly the base back")
    assert em.spaces.Weights(["iso_c", "iso_cts", "pcb"]).cautions == ()  # they search their own scale
    frozen = em.spaces.Weights(["iso_c", "pcb"], genes={"lambda": 1.0}).cautions
    assert [line.split(":")[0] for line in frozen] == ["iso_c", "pcb"]
    assert em.spaces.Weights("iso_c", genes={"lambda": 2.5}).cautions == ()
    assert em.spaces.Joint(merge=em.spaces.Weights("model_stock")).cautions == (stock,)
