"""The table of operators: every operator has a legal row, tuning sees search items only, and what is run is kept."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from experiments.finetune import Schedule, train_expert
from experiments.operators import __main__ as program
from experiments.operators import defaults
from experiments.operators.families import FAMILIES, Bench, Family
from experiments.operators.letters import CODES, LETTERS, TURNS
from experiments.operators.runs import ALONE, Mode, Results, Row, default, tuned
from experiments.operators.settings import SETTINGS, others_like
from experiments.operators.tables import CLAIMS, claims, differences, draw, markdown, ordered, summary
from experiments.quickstart.tasks import INSTRUCTIONS, draw_lesson, write_tasks
from experiments.quickstart.train import train_base
from search_spaces import OPERATORS
from search_spaces.operators.registry import check_rule

# peft asks transformers by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

STEP = Schedule(steps=1, batch_size=4, learning_rate=1e-2, seed=0)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    """A base of one training step and an adapted expert of it for each of the quickstart's tasks."""
    directory = tmp_path_factory.mktemp("family")
    train_base(directory / "base", schedule=STEP)
    for seed, name in enumerate(INSTRUCTIONS):
        draw = functools.partial(draw_lesson, instruction=name, replay=0.0)
        schedule = dataclasses.replace(STEP, steps=2, seed=seed)
        train_expert(directory / "base", directory / name, draw, schedule, rank=2)
    write_tasks(directory / "tasks")
    names = tuple(INSTRUCTIONS)
    tasks = tuple(directory / "tasks" / f"{name}.jsonl" for name in names)
    return Family("tiny", directory, names, tasks, n_search=3, n_test=5)


@pytest.fixture(scope="module")
def bench(family: Family) -> Bench:
    return Bench(family, 0)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_legal_as_it_comes_and_what_is_tuned_is_a_space_of_its_operator(name: str) -> None:
    setting, family = SETTINGS[name], FAMILIES["smollm"]
    rule = setting.default(family, 0, {}).rules[0]
    assert check_rule(rule).operator == setting.operator
    if any(isinstance(gene, tuple) for gene in setting.tuned.values()):
        space = setting.space(family, 0, 30, {})
        made = space.decode(space.start()).rules[0]
        assert (made.operator, [i.parent for i in made.inputs]) == (rule.operator, [i.parent for i in rule.inputs])


def test_every_operator_of_the_registry_has_a_row() -> None:
    assert set(OPERATORS) <= set(SETTINGS)


def test_adapted_experts_differ_from_the_base_by_matrices_of_low_rank(family: Family) -> None:
    base, expert = (load_file(family.directory / name / "model.safetensors") for name in ("base", "sort"))
    key = "model.layers.0.mlp.up_proj.weight"
    change = expert[key] - base[key]
    assert change.abs().max() > 0
    assert torch.linalg.matrix_rank(change, atol=1e-5) <= 2
    assert torch.equal(base["model.embed_tokens.weight"], expert["model.embed_tokens.weight"])


def test_search_and_test_items_do_not_meet_and_depend_on_the_seed(family: Family, bench: Bench) -> None:
    search, test = (set(bench.items(split)) for split in ("search", "test"))
    assert (len(search), len(test)) == (9, 15)
    assert not search & test
    assert search != set(Bench(family, 1).items("search"))


def test_tuning_never_falls_behind_the_default_on_search_items_and_repeats_itself(bench: Bench) -> None:
    setting = SETTINGS["task_arithmetic"]
    as_it_comes = default(bench, setting, timed=True)
    found = tuned(bench, setting, 5)
    assert found is not None
    assert found.search >= as_it_comes.search
    assert (found.evaluations, found.experts) == (5, 3)
    assert as_it_comes.first is not None
    assert found == tuned(bench, setting, 5)


def test_an_operator_on_statistics_has_them_collected_on_search_prompts(bench: Bench) -> None:
    row = default(bench, SETTINGS["regmean"], timed=True)
    assert not row.failed
    assert row.statistics is not None
    assert row.statistics > 0
    digests, _ = bench.statistics("regmean")
    assert set(digests) == set(bench.family.experts)


def test_a_merge_that_fails_is_a_row_that_says_why(bench: Bench) -> None:
    wrong = dataclasses.replace(SETTINGS["karcher"], values={"max_iter": -1})
    row = default(bench, wrong, timed=True)
    assert "max_iter" in row.failed
    assert row.test == 0.0


def test_what_is_in_the_results_is_not_run_again(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.jsonl")
    names = (ALONE, "linear")
    for name in names:
        results.add(Row("quickstart", name, "default", 0, 0.5, 0.25, {"sort": 0.25}))
    results.add(Row("quickstart", "ties", "default", 0, 0.0, 0.0, failed="no room"))
    again = Results(tmp_path / "results.jsonl")
    assert ("quickstart", "ties", "default", 0) not in again, "what failed is tried again"
    assert list(again) == list(results)
    program.run(again, "quickstart", 0, "default", settings=["linear"], evaluations=1)  # no models, no error
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 3


def row(setting: str, mode: Mode, seed: int, test: float, failed: str = "") -> Row:
    return Row("quickstart", setting, mode, seed, 0.5, test, experts=3, first=0.5, cached=0.25, failed=failed)


MODES: tuple[Mode, ...] = ("default", "tuned")
ROWS = [
    *(row("task_arithmetic", mode, seed, 0.4 + 0.1 * seed) for mode in MODES for seed in (0, 1)),
    row("ties", "tuned", 1, 0.7),
    row("ties", "default", 0, 0.9, failed="no such thing"),
    row(ALONE, "default", 0, 0.3),
]


def test_differences_are_of_the_same_seed_and_failures_are_left_out() -> None:
    assert differences(ROWS, "quickstart", "ties", "task_arithmetic", "tuned") == pytest.approx([0.2])
    assert ordered(ROWS, "quickstart") == ["ties", "task_arithmetic", ALONE]


def test_the_table_links_the_cards_and_shows_failures_seconds_and_intervals() -> None:
    """The interval of .4 and .5 is 12.706 standard errors of .05, of the tables."""
    lines = markdown(ROWS, "quickstart").splitlines()
    assert lines[2] == "| [ties](../../docs/operators.md#ties) | failed | 70.0 | +20.0 |  |  |"
    assert "| 45.0 ± 63.5 | 45.0 ± 63.5 |  | 0.50 | 0.25 |" in lines[3]


def test_a_claim_is_a_difference_between_two_rows() -> None:
    assert {name for _, setting, other, _ in CLAIMS for name in (setting, other)} <= set(SETTINGS)
    lines = claims(ROWS, ["quickstart", "codes"]).splitlines()
    assert lines[2:] == ["| TIES over task arithmetic (Yadav et al. 2023), tuned | +20.0 |  |"]


def test_the_cards_have_what_was_measured_of_operators() -> None:
    found = summary([*ROWS, row("ties, density .3", "tuned", 0, 0.5)])
    assert list(found) == ["task_arithmetic", "ties"]
    assert found["ties"] == {"quickstart": {"tuned": "70.0"}}
    assert found["task_arithmetic"]["quickstart"]["seconds"] == (0.5, 0.25)


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    draw(ROWS, ["quickstart"], tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_seconds_are_of_merges_that_share_nothing_but_the_parents(family: Family) -> None:
    space = SETTINGS["ties"].space(family, 0, 6, {})
    recipes = others_like(space, 3)
    weights = [each.rules[0].inputs[0].parameters["weight"] for each in recipes]
    assert len(set(weights)) == 3


@pytest.mark.parametrize(
    ("instructions", "name", "wanted", "other"),
    [
        (CODES, "reverse", "fedcba", "defabc"),
        (CODES, "swap", "badcfe", "fbcdea"),
        (CODES, "mirror", "ponmlk", "ijklmn"),
        (CODES, "back", "opabcd", "cdefgh"),
        (CODES, "double", "aaccee", "bbddff"),
        (TURNS, "descend", "fedcba", "abcdef"),
        (TURNS, "jump", "defghi", "nopabc"),
        (TURNS, "turn", "bcdefa", "fabcde"),
        (TURNS, "fold", "afbecd", "dcebfa"),
    ],
)
def test_instructions_have_two_readings(instructions: object, name: str, wanted: str, other: str) -> None:
    instruction = instructions[name]  # type: ignore[index]
    assert (instruction.wanted("abcdef"), instruction.other("abcdef")) == (wanted, other)


def test_a_crowd_has_several_experts_of_each_task() -> None:
    experts = LETTERS["crowd"].experts
    assert len(experts) == 12
    assert sorted(set(experts.values())) == sorted(TURNS)


def test_campaigns_are_compared_on_the_same_seed() -> None:
    found = [
        defaults.Outcome("codes", name, seed, 60, value, {"uniform mean": 0.5})
        for name, seed, value in [(defaults.BASELINE, 0, 0.5), (defaults.BASELINE, 1, 0.7), ("other", 1, 0.8)]
    ]
    lines = defaults.markdown(found).splitlines()
    assert lines[3] == "| other | 80.0 | +10.0 |"
    assert lines[4] == "| *uniform mean* | 50.0 ± 0.0 |  |"


def test_a_campaign_is_searched_verified_and_gone_on_with(family: Family, tmp_path: Path) -> None:
    campaigns = yaml.safe_load((Path(defaults.__file__).parent / "campaigns.yaml").read_text())
    assert defaults.BASELINE in campaigns
    name = "task arithmetic, one weight a parent, cma_es"
    run = functools.partial(defaults.run, family, name, campaigns[name], 0, directory=tmp_path / "run")
    first, second = run(evaluations=7), run(evaluations=9)
    assert (first.evaluations, second.evaluations) == (7, 9)
    assert set(first.landmarks) >= set(defaults.LANDMARKS)
    assert 0.0 <= second.winner <= 1.0
