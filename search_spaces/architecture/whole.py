"""Whether a checkpoint's tensors are what its module needs: names, shapes and kinds of numbers, both ways."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import nn

# Parts that transformers adds to a bare model, and that files often lack: nothing that is merged or scored reads them.
_OPTIONAL = re.compile(r"(^|\.)pooler\.")
# Layers behind the last that predict several tokens at once, and that transformers leaves out.
_FURTHER_TOKENS = re.compile(r"nextn|(^|[._])mtp|\.(eh_proj|enorm|hnorm|shared_head)\.")
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


class Target(NamedTuple):
    """Where transformers puts a checkpoint's tensor."""

    key: str  # of the module's parameter or buffer; it may have none of this name
    others: tuple[str, ...] | None = None  # further ones that are cut from it; None: it is no part of a packed one


@dataclass(frozen=True)
class Needs:
    """What a module needs of the tensors of a checkpoint.

    Attributes:
        kind: the module's class.
        targets: tensor -> the parameter or buffer that it is, or is a part of.
        shapes: the same -> its shape.
        packed: those made of several tensors.
        cut: those cut from a tensor that others are cut from, too.
        parameters: those that are learnt, in floating point.
        missing: those that the module needs and that no tensor is.
        beyond: list of layers -> (how many config.json asks for, how many the files have), where they have more.
    """

    kind: str
    targets: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    packed: frozenset[str]
    cut: frozenset[str]
    parameters: frozenset[str]
    missing: tuple[str, ...]
    beyond: Mapping[str, tuple[int, int]]


def needs_of(module: nn.Module, targets: Mapping[str, Target], *, optional: Collection[str] = ()) -> Needs:
    """Return what a module needs, given where transformers puts a checkpoint's tensors and what may be missing."""
    import torch

    state: Mapping[str, Any] = module.state_dict(keep_vars=True)
    known = {name: target for name, target in targets.items() if target.key in state}
    filled = {key for target in known.values() for key in (target.key, *(target.others or ()))} & state.keys()
    learnt = (
        key for key, value in state.items() if isinstance(value, torch.nn.Parameter) and value.is_floating_point()
    )
    parameters = frozenset(learnt)
    unused = {name: target.key for name, target in targets.items() if name not in known}
    return Needs(
        kind=type(module).__name__,
        targets={name: target.key for name, target in known.items()},
        shapes={key: tuple(state[key].shape) for key in filled},
        packed=frozenset(target.key for target in known.values() if target.others is not None),
        cut=frozenset(target.key for target in known.values() if target.others),
        parameters=parameters,
        missing=tuple(key for key in _missing(module, state, filled, parameters) if key not in optional),
        beyond=_beyond(module, unused),
    )


def _missing(
    module: nn.Module, state: Mapping[str, Any], filled: Collection[str], parameters: Collection[str]
) -> Iterator[str]:
    """Yield what no tensor is: parameters, and buffers that other layers have in the file.

    What is tied to another is there; other buffers are computed, or begin as transformers makes them.
    """
    held = {id(state[key]) for key in filled}
    alike = {_NUMBER.sub("#", key) for key in filled if key not in parameters and _NUMBER.search(key)}
    ignored = _patterns(module, "_keys_to_ignore_on_load_missing")
    for key, value in state.items():
        needed = key in parameters or _NUMBER.sub("#", key) in alike
        if not needed or key in filled or id(value) in held or not value.numel() or _OPTIONAL.search(key):
            continue
        if not any(pattern.search(key) for pattern in ignored):
            yield key


def _beyond(module: nn.Module, unused: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """Return lists of layers of which the files have more than the module, for tensor -> key that is in no module."""
    from torch import nn

    lists = {path: len(layers) for path, layers in module.named_modules() if isinstance(layers, nn.ModuleList)}
    ignored = _patterns(module, "_keys_to_ignore_on_load_unexpected")
    prefix = f"{getattr(module, 'base_model_prefix', '')}."
    found: dict[str, dict[int, list[str]]] = {}
    for name, key in unused.items():
        if any(pattern.search(name) or pattern.search(key) for pattern in ignored):
            continue
        for number in _NUMBER.finditer(key):
            start, layer = key[: number.start() - 1], int(number[0])
            path = next((p for p in (start, prefix + start, start.removeprefix(prefix)) if p in lists), None)
            if path is not None and layer >= lists[path]:
                found.setdefault(path, {}).setdefault(layer, []).append(name)
    said = _further_layers(getattr(module, "config", None))
    return {
        path: (lists[path], lists[path] + len(layers))
        for path, layers in found.items()
        if len(layers) > said and not any(_FURTHER_TOKENS.search(name) for names in layers.values() for name in names)
    }


def _further_layers(config: Any) -> int:
    """Return how many layers a config counts apart, which predict several tokens at once."""
    values = [value for key, value in vars(config).items() if "nextn" in key or key.startswith("mtp")] if config else []
    return max((value for value in values if isinstance(value, int)), default=0)


def _patterns(module: nn.Module, attribute: str) -> list[re.Pattern[str]]:
    return [re.compile(pattern) for pattern in getattr(module, attribute, None) or ()]


def flaws_of(
    needs: Needs | None, shapes: Mapping[str, tuple[int, ...]], whole_numbers: Collection[str]
) -> tuple[str, ...]:
    """Return what is wrong with a checkpoint's tensors, in words; none where its module is not known.

    Args:
        needs: of its module.
        shapes: tensor -> shape.
        whole_numbers: the tensors that are stored as such.
    """
    if needs is None:
        return ()
    found = [
        f"config.json asks for {asked} of {path}, the files have {held}" for path, (asked, held) in needs.beyond.items()
    ]
    if needs.missing:
        wrapper = _wrapper(needs.missing[0], shapes.keys())
        why = f"as all names begin with {wrapper!r}: save the model again without what wraps it" if wrapper else ""
        found.append(f"{needs.kind} needs {_some(needs.missing)}, which no file has{why and ', ' + why}")
    if wrong := [name for name in needs.targets if name in whole_numbers and needs.targets[name] in needs.parameters]:
        found.append(f"expected weights in floating point, found whole numbers in {_some(wrong)}")
    return (*found, *_misshapen(needs, shapes))


def _wrapper(missing: str, names: Collection[str]) -> str:
    """Return what torch's wrappers (parallel, compiled) put before a name that is missing, and before all others."""
    before = next((name.removesuffix(missing) for name in names if name.endswith(f".{missing}")), "")
    return before if all(name.startswith(before) for name in names) else ""


def _misshapen(needs: Needs, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    parts: dict[str, list[str]] = {}
    for name, key in needs.targets.items():
        parts.setdefault(key, []).append(name)
    wrong = {}
    for key, names in parts.items():
        expected, held = needs.shapes[key], [shapes[name] for name in names]
        fits = all(expected in (shape, _turned(shape)) for shape in held)
        if not fits and key in needs.packed:
            fits = key in needs.cut or sum(map(prod, held)) == prod(expected)
        if not fits:
            wrong[names[0]] = expected
    if wrong:
        name, expected = next(iter(wrong.items()))
        more = f" and {len(wrong) - 1} others" if len(wrong) > 1 else ""
        yield f"expected {expected} for {name}{more} by config.json, found {shapes[name]}"


def _turned(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of packed experts, which some files keep the other way round."""
    return (*shape[:-2], shape[-1], shape[-2]) if len(shape) == 3 else shape


def _some(names: Iterable[str]) -> str:
    first, *others = sorted(names)
    return f"{first} and {len(others)} more tensors" if others else first
