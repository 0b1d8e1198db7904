from __future__ import annotations

import re

import pytest

from docs.operator_cards import MANUAL, manual
from search_spaces.operators.catalogue.shared import COMPOSING, LINES
from search_spaces.operators.registry import OPERATORS, Operator

each_operator = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS.keys())


def test_the_manual_is_up_to_date() -> None:
    assert MANUAL.read_text(encoding="utf-8") == manual(), "run python -m docs.operator_cards"


@each_operator
def test_a_docstring_gives_the_formula_and_the_source(operator: Operator) -> None:
    text = operator.function.__doc__ or ""
    assert text.startswith("Return ")
    assert "Reference" in text
    assert operator.function.__name__ == operator.name


@each_operator
def test_a_card_lists_every_parameter_of_its_operator(operator: Operator) -> None:
    found = re.search(rf"^### {operator.name}\n(.*?)(?=^##|\Z)", manual(), re.MULTILINE | re.DOTALL)
    assert found is not None
    listed = set(re.findall(r"^\| `(\w+)` \|", found[1], re.MULTILINE))
    everywhere = {*LINES, *COMPOSING}  # told once, above the cards
    assert listed == set(operator.kinds) - everywhere
