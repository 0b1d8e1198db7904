"""Merge methods, one row each. No torch is loaded before something is merged."""

from search_spaces.operators.operator import Operands, Operator
from search_spaces.operators.parameters import Flag, OneOf, Real, Whole
from search_spaces.operators.registry import OPERATORS, check_rule, find_operator, register

__all__ = [
    "OPERATORS",
    "Flag",
    "OneOf",
    "Operands",
    "Operator",
    "Real",
    "Whole",
    "check_rule",
    "find_operator",
    "register",
]
