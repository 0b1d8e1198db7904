"""Sections of a campaign file that have a `kind`: which class reads it, ours or another package's.

A kind is a section class, a pydantic model of its options with a `build`, found by a name of ours, by an entry point or
as `module:attribute`. Any other class or function that is found so becomes one: its signature is its list of options.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import reduce, wraps
from operator import or_
from types import SimpleNamespace
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    Strict,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    create_model,
)

from evomerge.errors import EvomergeError, few_of
from evomerge.plugins import PluginError, load_plugin
from evomerge.wording import in_our_words, in_words, mismatch, refuse, told

S = TypeVar("S", bound=BaseModel)
RECORDED = "object"  # the kind that stands in records for an object of a Python program
_DOTTED: Any = Annotated[str, Field(pattern=r"^[\w.]+:[\w.]+$")]


class _Outside(BaseModel):
    """A kind of another package, as module:attribute, with its own keys."""

    model_config = ConfigDict(extra="allow", title="Outside")

    kind: _DOTTED


class RecordedObject:
    """Stands in a record for an object of a Python program, which a search goes on with in Python only."""

    genomes, has_paths = "any", True

    def __init__(self, *, type: str) -> None:
        raise PluginError(f"the object of {type} that this search began with", "none", "go on in Python")


@dataclass(frozen=True)
class Kinds(Generic[S]):
    """The kinds of one section.

    Attributes:
        group: of entry points, as `evomerge.optimisers`.
        built_in: name -> `module:attribute` of a section class of ours.
        section: what every section class is.
        outside: makes a section class of what is none: (kind, class or function) -> section class.
        default: the kind where the file names none; empty where it must.
    """

    group: str
    built_in: Mapping[str, str]
    section: type[S]
    outside: Callable[[str, Callable[..., Any]], type[S]]
    default: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The kinds that people write."""
        return tuple(name for name in self.built_in if name != RECORDED)

    def named(self, kind: str) -> type[S]:
        """Return the section class of a kind; raises a PluginError where there is none."""
        found = load_plugin(self.group, self.built_in.get(kind, kind), self.names)
        if isinstance(found, type) and issubclass(found, self.section):
            return found
        if not callable(found):
            raise PluginError("a class or a function", f"{kind}, which is {in_words(found)}")
        return self.outside(kind, found)

    def read(self, value: object, info: ValidationInfo) -> S:
        """Return the section that a campaign file has."""
        if isinstance(value, self.section):
            return value
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, dict):
            refuse([mismatch("a mapping", in_words(value))])
        given = {str(key): item for key, item in value.items() if item is not None}
        kind = given.setdefault("kind", self.default)
        if not isinstance(kind, str) or not kind:
            what = "nothing" if kind == "" else in_words(kind)
            refuse([mismatch("this key" if kind == "" else f"one of {few_of(self.names, kind)}", what, at=["kind"])])
        try:
            section = self.named(kind)
        except PluginError as error:
            refuse([mismatch(error.expected, error.found, error.hint, at=["kind"])])
        return checked(section, given, info.context)

    def in_schema(self) -> Any:
        """Return what an editor takes for the section: each kind of ours with its keys, others with any."""
        sections: Any = reduce(or_, dict.fromkeys(map(self.named, self.names)))
        own = sections if self.default else Annotated[sections, Field(discriminator="kind")]
        name: Any = Literal[self.names]
        return own | name | _Outside | _DOTTED


def checked(section: type[S], given: Mapping[str, Any], context: Any = None) -> S:
    """Return a validated section; everything that is wrong is told in our words."""
    try:
        return section.model_validate(given, context=context)
    except ValidationError as error:
        refuse(in_our_words(error, section))


class OptionsError(EvomergeError):
    """Options that cannot be used; one line per problem."""

    exit_code = 2


def constructed(init: Callable[..., None]) -> Callable[..., None]:
    """Make a section's constructor tell what is wrong in our words; files are read without it."""

    @wraps(init)
    def in_our_words_too(self: BaseModel, *args: Any, **options: Any) -> None:
        try:
            init(self, *args, **options)
        except ValidationError as error:
            lines = [
                f"{'.'.join(map(str, way))}: expected {expected}, found {found}{f'; {hint}' if hint else ''}"
                for way, (expected, found, hint) in told(error, type(self))
            ]
            raise OptionsError("\n".join(lines)) from error

    in_our_words_too.__pydantic_base_init__ = True  # type: ignore[attr-defined]
    return in_our_words_too


def from_signature(
    kind: str, factory: Callable[..., Any], base: type[S], provided: Collection[str]
) -> tuple[type[S], tuple[str, ...]]:
    """Return a section class whose options are what a signature asks for, and what it asks of evomerge.

    Args:
        kind: what the file calls it.
        factory: a class or a function.
        base: the section's other keys.
        provided: names of parameters that evomerge fills in; all others are options.

    Raises:
        PluginError: a parameter is neither provided nor of a type that a file can give.
    """
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError) as error:
        raise PluginError("a class or a function with a signature", f"{kind} ({error})") from error
    fields: dict[str, Any] = {"kind": (str, kind)}
    wanted, extra = [], "forbid"
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            extra = "allow"
        elif parameter.name in provided:
            wanted.append(parameter.name)
        elif parameter.kind is not parameter.VAR_POSITIONAL and _in_files(parameter.default):
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (_type_of(parameter, factory), default)
    name = getattr(factory, "__name__", kind)
    options = {"extra": extra, "arbitrary_types_allowed": True, "protected_namespaces": ()}
    try:
        made = create_model(name, __base__=base, __doc__=inspect.getdoc(factory), __cls_kwargs__=options, **fields)
    except Exception as error:  # pydantic refuses names and types in many ways
        raise PluginError("a signature with options that a file can give", f"{kind} ({error})") from error
    return made, tuple(wanted)


def _type_of(parameter: inspect.Parameter, factory: Callable[..., Any]) -> Any:
    """Return what pydantic checks an option by; anything that a file can hold where there is no telling."""
    named = SimpleNamespace(__annotations__={"it": parameter.annotation})
    try:
        found = typing.get_type_hints(named, vars(sys.modules[factory.__module__]))["it"]
        TypeAdapter(found)
    except Exception:  # names that only a type checker sees, or types that pydantic cannot check
        return JsonValue
    if found is parameter.empty:
        return JsonValue
    return Annotated[found, Strict()] if found in (bool, int, float, str) else found


def _in_files(default: object) -> bool:
    if default is inspect.Parameter.empty:
        return True
    try:
        TypeAdapter(JsonValue).validate_python(list(default) if isinstance(default, tuple) else default)
    except ValidationError:
        return False
    return True
