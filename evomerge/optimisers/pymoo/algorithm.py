"""From a campaign file's options to one of pymoo's algorithms; every option has pymoo's own name."""

from __future__ import annotations

import copy
import importlib
import inspect
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field, create_model, model_validator

from evomerge.fields import SECTION, Count, Flag, Real, Share, Text
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.pymoo.pymoo_catalogue import ALGORITHMS, Entry
from evomerge.optimisers.pymoo.reference_directions import METHODS, reference_directions
from evomerge.wording import mismatch, refuse

if TYPE_CHECKING:
    from pymoo.core.algorithm import Algorithm

DEFAULT_POPULATION = 24
DECOMPOSITIONS: Mapping[str, str] = {
    "tchebicheff": "Tchebicheff",
    "pbi": "PBI",
    "weighted_sum": "WeightedSum",
    "asf": "ASF",
}
Eta = Annotated[Real, Field(ge=1, le=1000)]  # distribution index: the higher, the closer children are to their parents


class Crossover(BaseModel):
    """Arguments of simulated binary crossover (SBX)."""

    model_config = SECTION

    eta: Eta = 15.0
    prob: Share = 0.9
    prob_var: Share = 0.5
    prob_exch: Share = 1.0
    prob_bin: Share = 0.5


class Mutation(BaseModel):
    """Arguments of polynomial mutation (PM)."""

    model_config = SECTION

    eta: Eta = 20.0
    prob: Share = 0.9
    prob_var: Share | None = None
    at_least_once: Flag = False


class Directions(BaseModel):
    """Reference directions; see `reference_directions`."""

    model_config = SECTION

    method: Literal["das-dennis", "energy"] = "das-dennis"
    n_partitions: Annotated[Count, Field(le=1000)] | None = None
    n_points: Annotated[Count, Field(le=10_000)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_the_number_of_its_method(cls, data: Any) -> Any:
        if isinstance(data, dict) and "n_points" in data:
            data = {"method": "energy", **data}
        own = METHODS.get(data.get("method", "das-dennis")) if isinstance(data, dict) else None
        if others := sorted({*METHODS.values()} & {*data} - {own}) if own else []:
            refuse([mismatch(f"{own} with this method", f"'{other}'", at=[other]) for other in others])
        return data


# Options whose default does not tell their type.
TYPES: Mapping[str, Any] = {
    **{"crossover": Crossover, "mutation": Mutation, "ref_dirs": Directions, "eliminate_duplicates": Flag},
    **{"n_offsprings": Count, "n_gen": Count, "pop_per_ref_point": Count, "jitter": Flag, "prob_mut": Share},
    **{"F": Real, "CR": Real, "weights": list[Real], "ref_points": list[Real] | list[list[Real]]},
    "decomposition": Literal[tuple(DECOMPOSITIONS)],
}
EXACT: Mapping[type, Any] = {bool: Flag, float: Real, str: Text}
# What evomerge sets, or what is code, results or display.
OWNED = frozenset(
    {"pop_size", "sampling", "selection", "survival", "repair", "mating", "output", "display", "callback", "archive"}
    | {"initial", "func_params", "swarm", "return_all_opt", "return_least_infeasible", "save_history", "verbose"}
    | {"seed", "evaluator", "termination", "advance_after_initial_infill", "advance_after_initialization"}
)


def options_of(algorithm: str) -> type[BaseModel]:
    """Return a section of the options that an algorithm has: what the signatures of pymoo's classes ask for."""
    from pymoo.core.algorithm import Algorithm

    entry = ALGORITHMS[algorithm]
    known: dict[str, Any] = {name: (TYPES[name], ...) for name in entry.required}
    known |= {name: (TYPES[name], None) for name in entry.extra}
    for cls in _class(entry).__mro__:
        if cls is Algorithm:
            break
        parameters = inspect.signature(vars(cls)["__init__"]).parameters.values() if "__init__" in vars(cls) else []
        named = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]
        for parameter in named:
            if parameter.name not in OWNED | set(entry.hidden) and (entry.directions or parameter.name != "ref_dirs"):
                kind = TYPES.get(parameter.name, EXACT.get(type(parameter.default), Count))
                known.setdefault(parameter.name, (kind, None))
        if named and not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return create_model(f"{algorithm}_options", __config__={**SECTION, "protected_namespaces": ()}, **known)


def build_algorithm(name: str, options: Mapping[str, Any], *, population: int | None, n_objectives: int) -> Algorithm:
    """Return pymoo's algorithm; operators that the options leave alone keep that algorithm's own defaults."""
    entry = ALGORITHMS[name]
    arguments = {key: _value(key, value) for key, value in options.items() if key not in ("ref_dirs", "n_gen")}
    size = population or DEFAULT_POPULATION
    if entry.directions:
        given = options.get("ref_dirs", {})
        arguments["ref_dirs"] = reference_directions(given, n_objectives=n_objectives, population=size)
        size = population or max(len(arguments["ref_dirs"]), 2)
    points = arguments.get("ref_points")
    if points is not None and (points.ndim != 2 or points.shape[1] != n_objectives):
        expected = f"points of {n_objectives} objective values each"
        raise OptimiserError(f"ref_points: expected {expected}, found shape {points.shape}")
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
    if name == "brkga":  # pymoo's own proportions: 200 elites, 700 children, 100 mutants
        elites = arguments.get("n_elites", max(1, round(0.2 * size)))
        mutants = arguments.get("n_mutants", max(1, round(0.1 * size)))
        return {"n_elites": elites, "n_mutants": mutants, "n_offsprings": max(1, size - elites - mutants)}
    if entry.population == "pop_per_ref_point":
        return {"pop_per_ref_point": max(1, math.ceil(size / len(arguments["ref_points"])))}
    assert entry.population is not None
    return {entry.population: size}


def _value(key: str, value: Any) -> Any:
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM

    if key in ("crossover", "mutation"):
        return (SBX if key == "crossover" else PM)(**value)
    if key == "decomposition":
        return getattr(importlib.import_module(f"pymoo.decomposition.{value}"), DECOMPOSITIONS[value])()
    if key == "ref_points":
        return -np.atleast_2d(np.array(value, dtype=np.float64))  # objectives are maximised, pymoo minimises
    return np.array(value, dtype=np.float64) if key == "weights" else value


def _class(entry: Entry) -> type[Algorithm]:
    found: type[Algorithm] = getattr(importlib.import_module(f"pymoo.algorithms.{entry.module}"), entry.name)
    return found
