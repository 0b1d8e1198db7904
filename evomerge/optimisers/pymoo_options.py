"""From a campaign file's options to one of pymoo's algorithms; every option has pymoo's own name."""

from __future__ import annotations

import copy
import difflib
import importlib
import inspect
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.pymoo_catalogue import ALGORITHMS, Entry
from evomerge.optimisers.reference_directions import check_directions, reference_directions

if TYPE_CHECKING:
    from pymoo.core.algorithm import Algorithm

DEFAULT_POPULATION = 24

# What a value may be: bool, int (at least 1), float, str, a list of numbers, a range, or arguments of an operator.
Expected = type | tuple[float, float] | Mapping[str, "Expected"]
PROBABILITY = (0.0, 1.0)
ETA = (1.0, 1000.0)  # distribution index: the higher, the closer children are to their parents
OPERATORS: Mapping[str, Mapping[str, Expected]] = MappingProxyType(
    {
        "crossover": {"eta": ETA, **dict.fromkeys(["prob", "prob_var", "prob_exch", "prob_bin"], PROBABILITY)},
        "mutation": {"eta": ETA, **dict.fromkeys(["prob", "prob_var"], PROBABILITY), "at_least_once": bool},
    }
)
DECOMPOSITIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "tchebicheff": ("pymoo.decomposition.tchebicheff", "Tchebicheff"),
        "pbi": ("pymoo.decomposition.pbi", "PBI"),
        "weighted_sum": ("pymoo.decomposition.weighted_sum", "WeightedSum"),
        "asf": ("pymoo.decomposition.asf", "ASF"),
    }
)
# Options whose default does not tell their type.
TYPES: Mapping[str, Expected] = MappingProxyType(
    {
        **OPERATORS,
        **{"n_offsprings": int, "n_gen": int, "eliminate_duplicates": bool, "weights": list},
        **{"F": float, "CR": float, "jitter": bool, "prob_mut": PROBABILITY},
        **{"decomposition": str, "ref_points": list, "pop_per_ref_point": int, "ref_dirs": dict},
    }
)
# What evomerge sets, or what is code, results or display.
OWNED = frozenset(
    {"pop_size", "sampling", "selection", "survival", "repair", "mating", "output", "display", "callback", "archive"}
    | {"initial", "func_params", "swarm", "return_all_opt", "return_least_infeasible", "save_history", "verbose"}
    | {"seed", "evaluator", "termination", "advance_after_initial_infill", "advance_after_initialization"}
)


def known_options(algorithm: str) -> dict[str, Expected]:
    """Return the options of an algorithm with what their values may be, from the signatures of pymoo's classes.

    Raises:
        OptimiserError: there is no such algorithm.
    """
    from pymoo.core.algorithm import Algorithm

    if algorithm not in ALGORITHMS:
        raise OptimiserError(f"algorithm: expected one of {', '.join(ALGORITHMS)}, found {algorithm!r}")
    entry = ALGORITHMS[algorithm]
    known: dict[str, Expected] = {name: TYPES[name] for name in (*entry.required, *entry.extra)}
    for cls in _class(entry).__mro__:
        if cls is Algorithm:
            break
        parameters = inspect.signature(vars(cls)["__init__"]).parameters.values() if "__init__" in vars(cls) else []
        named = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]
        for parameter in named:
            if parameter.name not in OWNED | set(entry.hidden) and (entry.directions or parameter.name != "ref_dirs"):
                known.setdefault(parameter.name, TYPES.get(parameter.name, type(parameter.default)))
        if named and not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return known


def check_options(options: Mapping[str, Any], known: Mapping[str, Expected], prefix: str = "") -> None:
    """Check options meant for pymoo, without building anything.

    Raises:
        OptimiserError: an unknown option or a value of the wrong type; the message names the key.
    """
    for name, value in options.items():
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {prefix + nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
            raise OptimiserError(f"{prefix}{name}: expected an option of pymoo that evomerge passes on; {hint}")
        expected = known[name]
        if name == "ref_dirs":
            check_directions(value)
        elif name == "decomposition" and value not in DECOMPOSITIONS:
            raise OptimiserError(f"decomposition: expected one of {', '.join(DECOMPOSITIONS)}, found {value!r}")
        elif isinstance(expected, Mapping):
            if not isinstance(value, Mapping):
                raise OptimiserError(f"{prefix}{name}: expected keys and values such as {{eta: 15}}, found {value!r}")
            check_options(value, expected, f"{prefix}{name}.")
        else:
            _check_value(prefix + name, value, expected)


def build_algorithm(name: str, options: Mapping[str, Any], *, population: int | None, n_objectives: int) -> Algorithm:
    """Return pymoo's algorithm; operators that the options leave alone keep that algorithm's own defaults.

    Args:
        name: in `ALGORITHMS`.
        options: by pymoo's names.
        population: genomes per generation; None for a size that suits.
        n_objectives: how many losses it is told, at least 1.

    Raises:
        OptimiserError: an unknown option, or a value that pymoo refuses; the message names the key.
    """
    check_options(options, known_options(name))
    entry = ALGORITHMS[name]
    if missing := [option for option in entry.required if option not in options]:
        raise OptimiserError(f"{missing[0]}: expected this option with kind {name}, found nothing")
    if population is not None and entry.population is None:
        hint = "the number of ref_dirs is the population" if entry.directions else "it has none"
        raise OptimiserError(f"population: expected no such key with kind {name}; {hint}")
    arguments = {key: _value(key, value) for key, value in options.items() if key not in ("ref_dirs", "n_gen")}
    size = population or DEFAULT_POPULATION
    if entry.directions:
        given = options.get("ref_dirs", {})
        arguments["ref_dirs"] = reference_directions(given, n_objectives=n_objectives, population=size)
        size = population or max(len(arguments["ref_dirs"]), 2)
    if "ref_points" in arguments:
        _check_points(arguments["ref_points"], n_objectives)
    if entry.population is not None:
        arguments = _sizes(name, entry, size, arguments) | arguments
    try:
        # A copy: default operators are shared by all instances of a class, and some keep what they saw.
        return copy.deepcopy(_class(entry)(**arguments))
    except Exception as error:  # pymoo raises whatever it likes
        raise refused(options, error) from error


def refused(options: Mapping[str, Any], error: Exception) -> OptimiserError:
    """Return what to raise where pymoo refuses the options."""
    return OptimiserError(f"options: expected values that pymoo accepts, found {dict(options)}: {error}")


def _sizes(name: str, entry: Entry, size: int, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return pymoo's argument, or arguments, that a population becomes."""
    if name == "brkga":  # pymoo's own proportions: 200 elites, 700 children, 100 mutants
        elites = arguments.get("n_elites", max(1, round(0.2 * size)))
        mutants = arguments.get("n_mutants", max(1, round(0.1 * size)))
        return {"n_elites": elites, "n_mutants": mutants, "n_offsprings": max(1, size - elites - mutants)}
    if entry.population == "pop_per_ref_point":
        return {"pop_per_ref_point": max(1, math.ceil(size / len(arguments["ref_points"])))}
    assert entry.population is not None
    return {entry.population: size}


def _value(key: str, value: Any) -> Any:
    if key == "crossover":
        from pymoo.operators.crossover.sbx import SBX

        return SBX(**value)
    if key == "mutation":
        from pymoo.operators.mutation.pm import PM

        return PM(**value)
    if key == "decomposition":
        module, name = DECOMPOSITIONS[value]
        return getattr(importlib.import_module(module), name)()
    if key == "ref_points":
        return -np.atleast_2d(np.array(value, dtype=np.float64))  # objectives are maximised, pymoo minimises
    return np.array(value, dtype=np.float64) if key == "weights" else value


def _check_points(points: np.ndarray[Any, Any], n_objectives: int) -> None:
    if points.ndim != 2 or points.shape[1] != n_objectives:
        raise OptimiserError(
            f"ref_points: expected points of {n_objectives} objective values each, found shape {points.shape}"
        )


def _class(entry: Entry) -> type[Algorithm]:
    found: type[Algorithm] = getattr(importlib.import_module(f"pymoo.algorithms.{entry.module}"), entry.name)
    return found


def _check_value(key: str, value: object, expected: type | tuple[float, float]) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if expected is bool:
        if not isinstance(value, bool):
            raise OptimiserError(f"{key}: expected true or false, found {value!r}")
    elif isinstance(expected, tuple):
        low, high = expected
        if not (is_number and low <= value <= high):  # type: ignore[operator]
            raise OptimiserError(f"{key}: expected a number in [{low:g}, {high:g}], found {value!r}")
    elif expected is float:
        if not is_number:
            raise OptimiserError(f"{key}: expected a number, found {value!r}")
    elif expected is str:
        if not isinstance(value, str):
            raise OptimiserError(f"{key}: expected text, found {value!r}")
    elif expected is list:
        if not _is_numbers(value):
            raise OptimiserError(f"{key}: expected a list of numbers, or of such lists, found {value!r}")
    elif not is_number or not isinstance(value, int) or value < 1:
        raise OptimiserError(f"{key}: expected a whole number of at least 1, found {value!r}")


def _is_numbers(value: object) -> bool:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return False
    return all(_is_numbers(v) or (isinstance(v, (int, float)) and not isinstance(v, bool)) for v in value)
