"""Bad campaign files: each is refused with the key, the line, what was expected and what was found."""

import os
from pathlib import Path

import pytest

from evomerge.config import CampaignConfig, ConfigError, load_campaign
from evomerge.config.campaign_file import campaign_of, overridden
from evomerge.config.overrides import with_overrides
from evomerge.config.yaml_document import read_yaml
from evomerge.optimisers.registry import OPTIMISERS
from evomerge.spaces import Weights
from evomerge.spaces.genes import SEARCHED
from search_spaces.operators.registry import find_operator

GOOD = """\
base: hub/base
parents:
  - hub/a
  - {model: hub/b, name: b}
space:
  operator: ties
  groups: {layer_blocks: 5}
  genes: {weight: [0.0, 1.5], density: [0.2, 1.0]}
objectives:
  - {name: maths, tasks: [gsm8k]}
  - {name: words, tasks: [arc_easy]}
splits: {search: 0.5, validation: 0.2, test: 0.3}
optimiser: {kind: nsga2, population: 24}
budget: {evaluations: 400}
workers: {backend: ray, count: 2}
seed: 0
export: {dtype: bfloat16}
"""
# Of long lists the three that are nearest to what was written.
OPERATORS = f"one of ties, fisher, sce or {len(SEARCHED) - 3} more"
KINDS = f"one of random, gradient, rvea or {len(OPTIMISERS.names) - 3} more"
KEYS = f"one of base, space, stages or {len(CampaignConfig.model_fields) - 3} more"
MORE_GENES = f"or {len(find_operator('ties').kinds) - 3} more"


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_campaign(path)
    return str(caught.value).replace(f"{path}", "campaign.yaml")


def refused_text(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "campaign.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return refused(path)


def test_the_file_that_the_bad_ones_are_made_from_is_good(tmp_path: Path) -> None:
    (tmp_path / "campaign.yaml").write_text(GOOD)
    load_campaign(tmp_path / "campaign.yaml")


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("ties", "tise", f"6: space.operator: expected {OPERATORS}, found 'tise'; did you mean 'ties'?"),
        ("ties", "[ties, ties]", "6: space.operator: expected each operator once, found ['ties', 'ties']"),
        ("ties", "[ties, tise]", f"6: space.operator[1]: expected {OPERATORS}, found 'tise'; did you mean 'ties'?"),
        ("ties", "[]", "6: space.operator: expected at least 1 in the list, found []"),
        ("  operator:", "  operater:", "6: space.operater: expected one of "
         f"{', '.join(Weights.model_fields)}, found 'operater'; did you mean 'operator'?"),
        ("weight: [", "weigth: [", f"8: space.genes.weigth: expected one of weight, density, zero_sign "
         f"{MORE_GENES}, found 'weigth'; did you mean 'weight'?"),
        ("weight: [", "t: [", f"8: space.genes.t: expected one of weight, centre, density {MORE_GENES}, found 't'; "
         "the operator has no such gene"),
        ("[0.0, 1.5]", "[1.5, 0.0]", "8: space.genes.weight: expected low < high, found [1.5, 0.0]; "
         "write [0.0, 1.5]"),
        ("[0.0, 1.5]", "[1, 1]", "8: space.genes.weight: expected low < high, found [1.0, 1.0]; "
         "a number alone freezes the gene"),
        ("[0.0, 1.5]", "[0, .inf]", "8: space.genes.weight: expected a finite number, found [0.0, inf]"),
        ("[0.0, 1.5]", ".nan", "8: space.genes.weight: expected a finite number, found nan"),
        ("[0.2, 1.0]", "[0, 1]", "8: space.genes.density: expected a share in (0, 1], found [0.0, 1.0]"),
        ("[0.2, 1.0]", "1.2", "8: space.genes.density: expected a share in (0, 1], found 1.2"),
        ("[0.2, 1.0]", "[0.2]", "8: space.genes.density: expected bounds [low, high], a list of choices, or "
         "a value that freezes the gene, found [0.2]"),
        ("[0.2, 1.0]", "true", "8: space.genes.density: expected a share in (0, 1], found true"),
        ("{weight: [0.0, 1.5], density: [0.2, 1.0]}", "{weight: 1, density: 1}", "8: space.genes: expected bounds for "
         "at least one gene, found all frozen; nothing would be left to search"),
        ("{layer_blocks: 5}", "{layer_blocks: 0}", "7: space.groups.layer_blocks: expected a number of at least 1, "
         "found 0"),
        ("{layer_blocks: 5}", "{modules: [atention]}", "7: space.groups.modules[0]: expected one of attention, mlp, "
         "other, all, tensor, found 'atention'; did you mean 'attention'?"),
        ("{layer_blocks: 5}", "{modules: [mlp, mlp]}", "7: space.groups.modules: expected each kind once, or all "
         "or tensor alone, found ['mlp', 'mlp']"),
        ("{layer_blocks: 5}", "{modules: [mlp, all]}", "7: space.groups.modules: expected each kind once, or all "
         "or tensor alone, found ['mlp', 'all']"),
        ("base: hub/base", "bsae: hub/base", f"1: bsae: expected {KEYS}, found 'bsae'; did you mean 'base'?"),
        ("name: b}", "name: a}", "4: parents[1].name: expected a name that no other parent has, found 'a'; "
         "write {model: ..., name: ...} with another name"),
        ("name: b}", "name: base}", "4: parents[1].name: expected a name that is not taken by the program, found "
         "'base'; write {model: ..., name: ...} with another name"),
        ("model: hub/b", "path: hub/b", "4: parents[1].model: expected this key, found nothing"),
        ("  - hub/a\n", "", "2: parents: expected at least 2 in the list, found [...]"),
        ("name: words", "name: maths", "11: objectives[1].name: expected a name that no other objective has, found "
         "'maths'"),
        ("[arc_easy]", "[]", "11: objectives[1].tasks: expected at least 1 in the list, found []"),
        (", tasks: [arc_easy]", "", "11: objectives[1].tasks: expected this key, found nothing; for example tasks: "
         "[tasks/words.jsonl]"),
        ("tasks: [arc_easy]", "tasks: arc_easy", "11: objectives[1].tasks: expected a list, found 'arc_easy'"),
        ("tasks: [arc_easy]", "tasks: [arc_easy], weight: -1", "11: objectives[1].weight: expected a number of at "
         "least 0, found -1"),
        ("test: 0.3", "test: 0.4", "12: splits: expected shares that sum to at most 1, found 1.1 (search 0.5 + "
         "validation 0.2 + test 0.4)"),
        ("search: 0.5", "search: 0", "12: splits.search: expected a number above 0, found 0"),
        ("test: 0.3", "test: -0.3", "12: splits.test: expected a number of at least 0, found -0.3"),
        ("nsga2", "randm", f"13: optimiser.kind: expected {KINDS}, found 'randm'; did you mean 'random'?"),
        ("kind: nsga2, ", "", "13: optimiser.kind: expected this key, found nothing"),
        ("24", "1", "13: optimiser.population: expected a number of at least 2, found 1"),
        ("population: 24", "popualtion: 24", "13: optimiser.popualtion: expected an option of pymoo, found "
         "'popualtion'; did you mean 'population'?"),
        ("population: 24", "pop_size: 24", "13: optimiser.pop_size: expected an option of pymoo, found "
         "'pop_size'; write population"),
        ("400", "0", "14: budget.evaluations: expected a number of at least 1, found 0"),
        ("400", "many", "14: budget.evaluations: expected a whole number, found 'many'"),
        ("400", "4.5", "14: budget.evaluations: expected a whole number, found 4.5"),
        ("400", "true", "14: budget.evaluations: expected a whole number, found true"),
        ("400", "400, hours: 1:30", "14: budget.hours: expected a number, found '1:30'"),
        ("{evaluations: 400}", "400", "14: budget: expected a mapping, found 400"),
        ("backend: ray", "backend: in_process", "15: workers.count: expected 1 with backend in_process, found 2; "
         "write backend: ray"),
        ("count: 2", "count: 2, max: 4", "15: workers.max: expected count or max, found both, 2 and 4; leave count "
         "out"),
        ("count: 2", "min: 4, max: 2", "15: workers.max: expected max beside min, and at least 4, found 2"),
        ("backend: ray, count: 2", "max: 4", "15: workers.max: expected no max with backend in_process, found 4; write "
         "backend: ray"),
        ("count: 2", "together: 0", "15: workers.together: expected a number of at least 1, found 0"),
        ("count: 2", "gpus: 1.5", "15: workers.gpus: expected a share of one GPU or a whole number of them, found "
         "1.5"),
        ("seed: 0", "seed: -1", "16: seed: expected a number of at least 0, found -1"),
        ("seed: 0", "name: a/b", "16: name: expected a name that can be a directory's, found 'a/b'"),
        ("seed: 0", "name: 3", "16: name: expected text, found 3"),
        ("seed: 0", "splits: {}", "16: splits: expected each key once, found it again (first on line 12)"),
        ("bfloat16", "bf16", "17: export.dtype: expected one of float32, bfloat16, float16, found 'bf16'; did you "
         "mean 'bfloat16'?"),
        ("seed: 0", "? [a]\n: 0", "16: expected valid YAML, found while constructing a mapping, found unhashable key"),
        ("seed: 0", "seed: !!python/object:os.system {}", "16: expected valid YAML, found could not determine a "
         "constructor for the tag 'tag:yaml.org,2002:python/object:os.system'"),
    ],
)  # fmt: skip
def test_one_mistake_gives_one_line(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    lines = refused_text(tmp_path, GOOD.replace(right, wrong, 1)).splitlines()
    assert f"campaign.yaml:{message}" in lines
    # A lost base, model or operator has a consequence.
    assert len(lines) == 1 or right in ("base: hub/base", "model: hub/b", "  operator:")


def test_slerp_takes_two_parents(tmp_path: Path) -> None:
    text = GOOD.replace("  - hub/a\n", "  - hub/a\n  - hub/c\n").replace("operator: ties", "operator: slerp")
    text = text.replace("{weight: [0.0, 1.5], density: [0.2, 1.0]}", "{t: [0, 1]}")
    assert refused_text(tmp_path, text) == (
        "campaign.yaml:7: space.operator: expected exactly two parents with slerp, found 3"
    )


@pytest.mark.parametrize("operator", ["ties", "task_arithmetic", "dare_linear", "dare_ties"])
def test_an_operator_on_task_vectors_needs_a_base(tmp_path: Path, operator: str) -> None:
    text = f"parents: [hub/a, hub/b]\nspace:\n  operator: {operator}\nobjectives: [{{name: x, tasks: [gsm8k]}}]\n"
    assert refused_text(tmp_path, text) == (
        f"campaign.yaml:3: space.operator: expected a base, which {operator} need, found none; "
        "add the key base, or choose linear or slerp"
    )


def test_cma_es_needs_an_objective_with_weight(tmp_path: Path) -> None:
    text = "base: b/b\nparents: [hub/a, hub/b]\nobjectives: [{name: x, tasks: [gsm8k], weight: 0}]\n"
    for optimiser in ("budget: {evaluations: 500}\n", "optimiser: {kind: cma_es}\n"):
        assert "optimiser.kind: expected an objective with weight > 0, found none" in refused_text(
            tmp_path, text + optimiser
        )


def test_a_misspelt_required_key_is_told_once(tmp_path: Path) -> None:
    message = refused_text(tmp_path, GOOD.replace("objectives:", "objetives:"))
    assert message.count("\n") == 0
    assert "campaign.yaml:9: objetives: expected one of" in message
    assert message.endswith("did you mean 'objectives'?")


def test_all_errors_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD
    for right, wrong in [("ties", "tise"), ("[0.2, 1.0]", "[1, 0.2]"), ("[gsm8k]", "[]"), ("0.5", "0.9"), ("24", "1")]:
        text = text.replace(right, wrong, 1)
    keys = [line.split(": ")[0] + ":" + line.split(": ")[1] for line in refused_text(tmp_path, text).splitlines()]
    assert keys == [
        "campaign.yaml:6:space.operator",
        "campaign.yaml:8:space.genes.density",
        "campaign.yaml:10:objectives[0].tasks",
        "campaign.yaml:12:splits",
        "campaign.yaml:13:optimiser.population",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: expected a mapping with at least the keys parents and objectives, found nothing"),
        ("- a\n", ":1: expected a mapping with at least the keys parents and objectives, found ['a']"),
        ("a: 1\n---\nb: 2\n", ":2: expected valid YAML, found expected a single document in the stream, "
         "but found another document"),
        ("a: 1\nb: [1\n", ":3: expected valid YAML, found while parsing a flow sequence, expected ',' or ']', "
         "but got '<stream end>'"),
        ("a: 1\n\tb: 2\n", ":2: expected valid YAML, found while scanning for the next token, "
         "found character '\\t' that cannot start any token"),
        (b"a: 1\nb: \xff\n", ":2: expected UTF-8 text, found the byte 0xff"),
        (b"a: 1\nb: \x01\n", ":2: expected printable text, found '\\x01'"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_campaign_is_refused_with_its_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert refused_text(tmp_path, text) == f"campaign.yaml{message}"


def test_an_alias_that_contains_itself_is_refused(tmp_path: Path) -> None:
    told = refused_text(tmp_path, GOOD.replace("population: 24", "x: &x [*x]"))
    assert told == "campaign.yaml:13: expected valid YAML, found an alias inside what it stands for"


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: x\nseed: !!int foo\n", "2: expected valid YAML, found 'foo', which is no !!int"),
        ("name: x\nseed: !!float foo\n", "2: expected valid YAML, found 'foo', which is no !!float"),
        ("name: x\nseed: !!bool foo\n", "2: expected valid YAML, found 'foo', which is no !!bool"),
        ("name: !!timestamp foo\n", "1: expected valid YAML, found 'foo', which is no !!timestamp"),
        ("name: !!timestamp 2001-99-99\n", "1: expected valid YAML, found '2001-99-99', which is no !!timestamp"),
        ("name: x\nseed: " + "9" * 6000, "2: expected valid YAML, found a number of 6000 digits, more than 400"),
        ("x: [\n" + "[" * 3000, "lists and mappings nested more than 64 deep"),
        ("{a: " * 3000, "lists and mappings nested more than 64 deep"),
        ("".join(" " * i + "- \n" for i in range(1500)), "lists and mappings nested more than 64 deep"),
        (BOMB, "5: expected valid YAML, found more than 100,000 values, aliases written out"),
        (BOMB.replace("[", "{<<: [").replace("]", "]}"), "5: expected valid YAML, found more than 100,000 values"),
    ],
)
def test_yaml_that_breaks_a_parser_is_refused_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    found = refused_text(tmp_path, text)
    assert told in found
    assert found.startswith("campaign.yaml:")
    assert len(found.splitlines()) == 1


def test_values_of_the_core_schema_may_carry_their_tags_and_nest_as_deep_as_anybody_writes(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_text("a: !!int 3\nb: !!str 3\nc: " + "[" * 60 + "]" * 60 + "\nd: " + "9" * 300)
    data = read_yaml(path).data
    assert (data["a"], data["b"], data["d"]) == (3, "3", 10**300 - 1)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("evaluations: 400", f"evaluations: {10**21}", "budget.evaluations: expected a number of at most 10,000,000"),
        ("population: 24", f"population: {10**11}", "optimiser.population: expected a number of at most 100,000"),
        ("layer_blocks: 5", f"layer_blocks: {10**9}", "layer_blocks: expected a number of at most 10,000"),
        (
            "seed: 0",
            "seed: " + "9" * 399,
            "seed: expected a number below 18,446,744,073,709,551,616",
        ),
        ("count: 2", f"count: {10**6}", "workers.count: expected a number of at most 10,000, found 1000000"),
        ("seed: 0", "seed: 0\nverification: {masks: 1001}", "masks: expected a number of at most 1,000"),
        ("evaluations: 400", "evaluations: 400, hours: 1.0e+300", "hours: expected a number of at most 1,000,000"),
        ("seed: 0", "seed: 0\nstatistics: {prompts: 1000001}", "prompts: expected a number of at most 1,000,000"),
    ],
)
def test_numbers_that_nobody_can_mean_are_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert told in refused_text(tmp_path, GOOD.replace(old, new))


def test_numbers_beside_the_file_have_the_same_bounds() -> None:
    config = campaign_of(
        {"base": "hub/base", "parents": ["hub/a", "hub/b"], "objectives": [{"name": "a", "tasks": ["gsm8k"]}]}
    )
    for key, value in (("evaluations", 10**21), ("workers", 10**5)):
        with pytest.raises(ConfigError, match=rf"{key}: expected a number of at most 10,000(,000)?, found {value}"):
            overridden(config, **{key: value})
    with pytest.raises(ConfigError, match=r"evaluations: .*found a number of about 400 digits"):
        overridden(config, evaluations=10**400)


def test_a_task_of_a_very_long_path_is_one_short_message(tmp_path: Path) -> None:
    for task in ("a" * 70_000, f"tasks/{'a' * 70_000}.jsonl", f"python:{'a' * 70_000}.py:f"):
        told = refused_text(tmp_path, GOOD.replace("gsm8k", f'"{task}"').replace("hub/a", f"./{'m' * 300}"))
        assert "parents[0]: expected a checkpoint directory, found nothing at " in told
        assert len(told) < 1200


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nothing.yaml"
    with pytest.raises(ConfigError, match="expected a readable campaign file, found 'No such file or directory'"):
        load_campaign(path)


def test_anchors_and_merge_keys_are_read_and_keep_their_lines(tmp_path: Path) -> None:
    text = GOOD.replace("  - hub/a\n  - {", "  - &a {model: hub/a, revision: main}\n  - {<<: *a, ")
    path = tmp_path / "campaign.yaml"
    path.write_text(text)
    assert [(p.model, p.name, p.revision) for p in load_campaign(path).parents] == [
        ("hub/a", "a", "main"),
        ("hub/b", "b", "main"),
    ]
    assert ":3: parents[1].revision: expected text, found 3" in refused_text(tmp_path, text.replace("main", "3"))


def test_missing_files_are_told_with_the_nearest_name(tmp_path: Path) -> None:
    for name in ("experts/words", "tasks"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "tasks" / "words.jsonl").touch()
    text = (
        GOOD.replace("hub/a", "./experts/wrds").replace("hub/b", "experts/words").replace("gsm8k", "tasks/word.jsonl")
    )
    assert refused_text(tmp_path, text + "lm_eval: {include_path: nowhere}\n").splitlines() == [
        f"campaign.yaml:3: parents[0]: expected a checkpoint directory, found nothing at {tmp_path}/experts/wrds; "
        "did you mean 'words'?",
        f"campaign.yaml:4: parents[1].model: expected a checkpoint directory with config.json, found "
        f"{tmp_path}/experts/words, which has none",
        f"campaign.yaml:10: objectives[0].tasks[0]: expected a file, found nothing at {tmp_path}/tasks/word.jsonl; "
        "did you mean 'words.jsonl'?",
        f"campaign.yaml:18: lm_eval.include_path: expected a directory, found none at {tmp_path}/nowhere",
    ]


def test_a_gguf_file_as_a_parent_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    message = refused_text(tmp_path, GOOD.replace("hub/a", "model.gguf"))
    assert "expected a checkpoint directory with config.json, found the file" in message


def test_a_missing_yaml_task_is_told_without_its_metric(tmp_path: Path) -> None:
    message = refused_text(tmp_path, GOOD.replace("gsm8k", "my.yaml:acc"))
    assert message.endswith(f"objectives[0].tasks[0]: expected a file, found nothing at {tmp_path}/my.yaml")
    (tmp_path / "my.yaml").touch()
    load_campaign(tmp_path / "campaign.yaml")


def test_a_campaign_file_that_is_a_device_or_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "device.yaml").symlink_to("/dev/zero")
    for name in ("pipe.yaml", "device.yaml"):
        with pytest.raises(ConfigError, match="expected a readable campaign file, found 'a pipe or a device"):
            load_campaign(tmp_path / name)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "\x1b[2J"),
        (f"parents.{'9' * 5000}.name", "x"),
        ("parents.\u0663", "x"),
        ("a." * 3000 + "b", "1"),
        ("a", "[" * 500),
    ],
    ids=["control", "digits", "other digits", "deep key", "deep value"],
)
def test_hostile_overrides_are_refused_with_their_beginning(key: str, value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        with_overrides({"parents": ["hub/a"]}, [f"{key}={value}"])
    assert len(str(refused.value)) < 900
