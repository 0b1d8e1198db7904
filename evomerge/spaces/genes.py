"""Operators and genes as the section `space` names them; `search_spaces.operators.registry` knows what is legal."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator
from pydantic_core import InitErrorDetails

from evomerge.errors import few_of
from evomerge.fields import is_number
from evomerge.wording import did_you_mean, in_words, mismatch, refuse
from search_spaces.errors import SpaceError
from search_spaces.operators.operator import Operator
from search_spaces.operators.parameters import Bounds, Choices, Kind
from search_spaces.operators.registry import OPERATORS, find_operator
from search_spaces.recipes.rule import Parameter
from search_spaces.spaces.genes import kinds_of
from search_spaces.spaces.soup_weights import REACH, Form

# Frozen, yet written into every resolved campaign file: the first thing that one wants to search besides.
SHOWN = ("lambda",)
# An operator of one input merges a parent into a base: there is nothing to search between parents.
SEARCHED = tuple(name for name, operator in OPERATORS.items() if operator.n_inputs[1] != 1)

if TYPE_CHECKING:
    _InSchema: TypeAlias = str
else:
    _InSchema = Literal[SEARCHED] | Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]


def _searchable(name: str) -> str:
    try:
        fits = find_operator(name).n_inputs[1] != 1
    except SpaceError:
        fits = False
    if not fits:
        refuse([mismatch(f"one of {few_of(SEARCHED, name)}", in_words(name), did_you_mean(name, SEARCHED))])
    return name


OperatorName: TypeAlias = Annotated[str, AfterValidator(_searchable)]

OneGene: TypeAlias = Parameter | Bounds | Choices
Gene: TypeAlias = OneGene | Mapping[str, OneGene]


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _as_gene(value: object) -> Gene:
    if isinstance(value, dict):
        return {str(parent): _as_one_gene(gene, at=[str(parent)]) for parent, gene in value.items()}
    return _as_one_gene(value, at=[])


def _as_one_gene(value: object, at: list[str]) -> OneGene:
    if is_number(value):
        return float(value)  # type: ignore[arg-type]
    if isinstance(value, bool | str):
        return value
    if isinstance(value, list | tuple) and len(value) == 2 and all(map(is_number, value)):
        return float(value[0]), float(value[1])
    if isinstance(value, list | tuple) and len(value) > 1 and all(isinstance(v, bool | str) for v in value):
        return tuple(value)
    expected = "bounds [low, high], a list of choices, or a value that freezes the gene"
    refuse([mismatch(expected, in_words(value), at=at)])


OperatorNames: TypeAlias = Annotated[
    tuple[OperatorName, ...],
    BeforeValidator(_as_tuple, json_schema_input_type=_InSchema | tuple[_InSchema, ...]),
    Field(min_length=1),
]
_InFile: TypeAlias = float | bool | str | tuple[float, float] | list[bool | str]
Genes: TypeAlias = dict[
    str, Annotated[Any, PlainValidator(_as_gene, json_schema_input_type=_InFile | dict[str, _InFile])]
]


def checked_genes(genes: Mapping[str, Gene], operators: tuple[str, ...] | None) -> dict[str, Gene]:
    """Return every gene that the operators search unless told otherwise, and those that the file names.

    Operators that are wrong themselves are None: genes of any operator are legal then.
    """
    chosen = [find_operator(name) for name in operators or SEARCHED]
    kinds = kinds_of(chosen)
    rows = {name: find_operator(name) for name in operators or ()} if len(operators or ()) > 1 else {}
    own = {name: gene for name, gene in genes.items() if name in rows}
    genes = {name: gene for name, gene in genes.items() if name not in rows}
    problems = [problem for name, gene in genes.items() for problem in _gene_problems(name, gene, chosen)]
    problems += [problem for name, gene in own.items() for problem in _own_problems(rows[name], gene)]
    default = {name: kind.gene for name, kind in kinds.items() if kind.searched and kind.gene is not None}
    shown = {name: kinds[name].default for name in SHOWN if name in kinds}
    full: dict[str, Gene] = {
        name: gene for name in kinds if (gene := {**shown, **default, **genes}.get(name)) is not None
    }
    for name, kind in kinds.items():
        if operators and kind.default is None and name not in full:
            problems.append(mismatch(f"the key {name}: {kind.meaning}", "none", at=[name]))
    if not problems and len(chosen) == 1 and not any(map(_is_searched, full.values())):
        problems.append(mismatch("bounds for at least one gene", "all frozen", "nothing would be left to search"))
    if problems:
        refuse(problems)
    shared = {name for name, gene in full.items() if isinstance(gene, tuple) and name not in genes}
    return full | {name: bounds for name, row in rows.items() if (bounds := _own_bounds(row, kinds, shared, own))}


def _own_bounds(
    row: Operator, kinds: Mapping[str, Kind], shared: Collection[str], said: Mapping[str, Gene]
) -> dict[str, Any]:
    """Return the bounds between which one of several operators reads genes that they share, where they are its own."""
    differing = {
        name: kind.gene
        for name, kind in row.kinds.items()
        if name in shared and isinstance(kind.gene, tuple) and kind.gene != kinds[name].gene
    }
    own = said.get(row.name, {})
    return differing | (dict(own) if isinstance(own, Mapping) else {})


def _own_problems(row: Operator, gene: Gene) -> list[InitErrorDetails]:
    if not isinstance(gene, Mapping):
        return [mismatch("parameters of the operator with bounds", in_words(gene), at=[row.name])]
    problems = []
    for name, bounds in gene.items():
        if name not in row.kinds:
            hint = did_you_mean(name, list(row.kinds))
            problems.append(mismatch(f"one of {few_of(row.kinds, name)}", f"'{name}'", hint, at=[row.name, name]))
        elif not isinstance(bounds, tuple) or not is_number(bounds[0]):
            problems.append(mismatch("bounds [low, high]", in_words(bounds), at=[row.name, name]))
        else:
            problems += _value_problems(bounds, [row.kinds[name]], [row.name, name])
    return problems


def checked_soup_genes(genes: Mapping[str, Gene], operators: tuple[str, ...] | None, form: Form) -> dict[str, Gene]:
    """Return every gene as `checked_genes` does, where weights sum to 1: simplex or affine."""
    problems = []
    for name in operators or ():
        if "weight" not in find_operator(name).input_parameters:
            expected = f"an operator that weights its parents, with weights {form}"
            problems.append(mismatch(expected, name))
    weight = genes.get("weight")
    if weight is not None and not (isinstance(weight, tuple) and len(weight) == 2 and weight[0] == -weight[1] < 0):  # type: ignore[operator]
        expected = f"[-reach, reach] with weights {form}, the uniform soup in the middle"
        problems.append(mismatch(expected, in_words(weight), at=["weight"]))
    if problems:
        refuse(problems)
    return checked_genes({"weight": (-REACH[form], REACH[form]), **genes}, operators)


def _is_searched(gene: Gene) -> bool:
    return any(map(_is_searched, gene.values())) if isinstance(gene, Mapping) else isinstance(gene, tuple)


def _gene_problems(name: str, gene: Gene, operators: Sequence[Operator]) -> list[InitErrorDetails]:
    kinds = [operator.kinds[name] for operator in operators if name in operator.kinds]
    if not kinds:
        known, anywhere = kinds_of(operators), kinds_of(list(OPERATORS.values()))
        hint = "the operator has no such gene" if name in anywhere else did_you_mean(name, list(known))
        return [mismatch(f"one of {few_of(known, name)}", f"'{name}'", hint, at=[name])]
    if isinstance(gene, Mapping):
        return [p for parent, own in gene.items() for p in _value_problems(own, kinds, [name, parent])]
    return _value_problems(gene, kinds, [name])


def _value_problems(gene: OneGene, kinds: Sequence[Kind], at: list[str]) -> list[InitErrorDetails]:
    for kind in kinds:
        try:
            for value in gene if isinstance(gene, tuple) else (gene,):
                kind.checked(value, at[0])
        except SpaceError:
            return [mismatch(str(kind), in_words(gene), at=at)]
    if isinstance(gene, tuple) and is_number(gene[0]) and gene[0] >= gene[1]:  # type: ignore[operator]
        hint = "a number alone freezes the gene" if gene[0] == gene[1] else f"write [{gene[1]}, {gene[0]}]"
        return [mismatch("low < high", in_words(gene), hint, at=at)]
    return []
