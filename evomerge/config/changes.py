"""What changed between two campaign files, as far as it would change candidates that are already scored."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass

from evomerge.config import BASE, CampaignConfig
from evomerge.wording import in_words

HARMLESS = (
    "name",
    "budget.evaluations",
    "budget.hours",
    "budget.stop",
    "workers",
    "engine.memory",
    "engine.vllm",
    "answers",
    "verification",
    "allow_benchmark_test_sets",
    "allow_differences",
    "trust_remote_code",
    "track",
)


@dataclass(frozen=True)
class Change:
    """One key that differs."""

    key: str  # as in `space.genes.density`
    old: object  # None where there is no such key
    new: object


def past_changing(old: CampaignConfig, new: CampaignConfig) -> list[Change]:
    """Return every difference that a resumed campaign cannot take over, in the order of the file.

    The budget, the workers, the name, the memory, whose answers are kept, what a verification does, what the preflight
    lets through and who is shown the search may change: candidates and scores do not depend on them.
    Compare resolved configs, or a path written in two ways is a difference.
    """
    harmless = tuple(f"{key}." for key in HARMLESS)
    changes = _differences("", old.model_dump(), new.model_dump())
    return [change for change in changes if not f"{change.key}.".startswith(harmless)]


def with_sources_of(config: CampaignConfig, recorded: CampaignConfig, names: Collection[str]) -> CampaignConfig:
    """Return the campaign with the sources of some of its models as they are recorded."""
    sources = recorded.sources
    written = {name: asdict(sources[name]) for name in names if name in sources}
    parents = tuple(parent.model_copy(update=written.get(parent.name, {})) for parent in config.parents)
    base = None if config.base is None else config.base.model_copy(update=written.get(BASE, {}))
    return config.model_copy(update={"parents": parents, "base": base}) if written else config


def as_diff(changes: Sequence[Change]) -> str:
    """Return one line per change, the values aligned."""
    width = max((len(change.key) for change in changes), default=0)
    return "\n".join(f"  {c.key:<{width}}  {in_words(c.old)} -> {in_words(c.new)}" for c in changes)


def _differences(key: str, old: object, new: object) -> Iterator[Change]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from _differences(f"{key}.{name}" if key else str(name), old.get(name), new.get(name))
    elif _is_list_of_sections(old) and _is_list_of_sections(new):
        assert isinstance(old, (list, tuple))
        assert isinstance(new, (list, tuple))
        for i in range(max(len(old), len(new))):
            pair = [values[i] if i < len(values) else None for values in (old, new)]
            yield from _differences(f"{key}[{i}]", *pair)
    elif old != new:
        yield Change(key, old, new)


def _is_list_of_sections(value: object) -> bool:
    return isinstance(value, (list, tuple)) and any(isinstance(item, dict) for item in value)
