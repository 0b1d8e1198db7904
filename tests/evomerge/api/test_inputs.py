"""A campaign knows what its parents and tasks were: a change is refused, and what only moved is taken from there."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import evomerge as em
from evomerge.archive import Archive, ArchiveError
from evomerge.assembly import MakeWorker, build_parts
from evomerge.campaign import RunDirectoryError
from evomerge.campaign.events import Noted
from evomerge.campaign.inputs import NOTE, Inputs
from evomerge.config import ConfigError, dump_campaign
from evomerge.workers import WorkerSetupError
from tests.conftest import Family

N_ITEMS = 12


def items(task: str) -> list[dict[str, Any]]:
    chance = random.Random(task)
    return [
        {"id": f"i{i}", "question": f"{task} {i}:", "choices": ["1", "2", "3"], "gold": chance.randrange(3)}
        for i in range(N_ITEMS)
    ]


def write_items(file: Path, lines: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, family: Family) -> Path:
    """A folder with models of its own, tasks and a finished search."""
    root = tmp_path_factory.mktemp("inputs")
    for name, directory in family.parents.items():
        shutil.copytree(directory, root / "models" / name)
    for task in ("sums", "words"):
        write_items(root / f"{task}.jsonl", items(task))
    em.search(**arguments(root))
    return root


def arguments(root: Path) -> dict[str, Any]:
    return {
        "parents": [root / "models" / "alpha", root / "models" / "beta"],
        "base": root / "models" / "base",
        "objectives": {task: str(root / f"{task}.jsonl") for task in ("sums", "words")},
        "space": em.spaces.Weights("task_arithmetic", layer_blocks=1, genes={"weight": (0.0, 1.5)}),
        "optimiser": "random",
        "landmarks": "none",
        "evaluations": 4,
        "run_dir": root / "run",
        "export": {"dtype": "float32"},
        "engine": {"dtype": "float32"},
    }


@pytest.fixture
def as_it_was(root: Path) -> Iterator[Path]:
    """The folder, put back afterwards as it was before."""
    kept = shutil.copytree(root, root.with_name(f"{root.name}-kept"))
    yield root
    shutil.rmtree(root)
    kept.rename(root)


def noise(file: Path) -> None:
    tensors = load_file(file)
    save_file({name: torch.randn_like(tensor) for name, tensor in tensors.items()}, file, metadata={"format": "pt"})


def change_json(file: Path, **keys: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))


CHANGED_PARENTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights": (lambda r: noise(r / "models/alpha/model.safetensors"), "parent 'alpha': model.safetensors changed"),
    "base": (lambda r: noise(r / "models/base/model.safetensors"), "parent 'base': model.safetensors changed"),
    "config": (lambda r: change_json(r / "models/beta/config.json", rms_norm_eps=0.1), "'beta': config.json changed"),
    "tokenizer": (
        lambda r: change_json(r / "models/base/tokenizer_config.json", pad_token="<unk>"),
        "parent 'base': tokenizer_config.json changed",
    ),
    "chat template": (
        lambda r: (r / "models/base/chat_template.jinja").write_text("{{ messages }}"),
        "parent 'base': chat_template.jinja added",
    ),
}
CHANGED_TASKS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "golds": ([{**i, "gold": (i["gold"] + 1) % 3} for i in items("sums")], "task 'sums': 12 items changed"),
    "added": ([{**items("sums")[0], "id": "new"}, *items("sums")], "task 'sums': 1 item added"),
    "removed": (items("sums")[2:], "task 'sums': 2 items removed"),
    "a question": ([{**items("sums")[0], "question": "else:"}, *items("sums")[1:]], "task 'sums': 1 item changed"),
}


@pytest.mark.parametrize("kind", CHANGED_PARENTS)
def test_a_changed_parent_is_named_by_whoever_goes_on(as_it_was: Path, kind: str) -> None:
    change, message = CHANGED_PARENTS[kind]
    change(as_it_was)
    run = em.load(as_it_was / "run")
    for go_on in (lambda: run.resume(6), run.verify, lambda: run.export("knee", as_it_was / "out")):
        with pytest.raises(RunDirectoryError, match=message) as refused:
            go_on()
        assert "begin a new search in another run directory" in str(refused.value)
    assert run.n_candidates == 4
    assert not (as_it_was / "out").exists()


@pytest.mark.parametrize("kind", CHANGED_TASKS)
def test_a_changed_task_is_named_with_how_many_items(as_it_was: Path, kind: str) -> None:
    lines, message = CHANGED_TASKS[kind]
    write_items(as_it_was / "sums.jsonl", lines)
    run = em.load(as_it_was / "run")
    for go_on in (lambda: run.resume(6), run.verify):
        with pytest.raises(RunDirectoryError, match=message):
            go_on()
    with pytest.raises(RunDirectoryError, match=message), em.Study(**{**arguments(as_it_was), "evaluations": 6}):
        pass
    assert run.n_candidates == 4


def test_where_nothing_changed_it_goes_on(as_it_was: Path) -> None:
    for file in as_it_was.glob("models/*/*"):
        file.touch()
    assert em.load(as_it_was / "run").resume(5).n_candidates == 5


def test_a_parent_that_moved_is_read_where_one_says_and_from_then_on(as_it_was: Path) -> None:
    moved = (as_it_was / "models" / "alpha").rename(as_it_was / "elsewhere")
    run, said = em.load(as_it_was / "run"), list[object]()
    for go_on in (run.verify, lambda: run.resume(6), lambda: run.export("best", as_it_was / "out")):
        with pytest.raises(RunDirectoryError, match=r"parent 'alpha': expected the files .* --parent alpha=DIR"):
            go_on()
    with pytest.raises(RunDirectoryError, match=r"parent 'alpha': model.safetensors changed"):
        run.verify(parents={"alpha": as_it_was / "models" / "beta"})
    with pytest.raises(ConfigError, match="expected one of base, alpha, beta, found 'alhpa'; did you mean 'alpha'"):
        run.verify(parents={"alhpa": moved})
    with pytest.raises(ConfigError, match=r"parent beta: expected the directory of a checkpoint, found none at"):
        run.export("best", as_it_was / "out", parents={"beta": as_it_was / "nowhere"})
    assert run.export("best", as_it_was / "out", parents={"alpha": moved}, callbacks=said.append).is_dir()
    assert any(isinstance(event, Noted) and f"is read from {moved}" in event.text for event in said)
    assert run.resume(5).n_candidates == 5
    assert {row.name for row in run.verify(top=1).rows} >= {"base", "alpha", "beta"}


def test_a_campaign_that_names_the_new_directory_goes_on_if_the_files_are_the_same(as_it_was: Path) -> None:
    moved = as_it_was / "elsewhere" / "alpha"
    moved.parent.mkdir()
    (as_it_was / "models" / "alpha").rename(moved)
    again = {**arguments(as_it_was), "parents": [moved, as_it_was / "models" / "beta"], "evaluations": 5}
    assert em.search(**again).n_candidates == 5
    noise(moved / "model.safetensors")
    with pytest.raises(RunDirectoryError, match=r"parent 'alpha': model.safetensors changed"):
        em.search(**{**again, "evaluations": 6})


def test_an_archive_without_a_record_says_so_once_and_has_one_then(as_it_was: Path) -> None:
    run, said = em.load(as_it_was / "run"), list[str]()
    with contextlib.closing(Archive.open(run.directory / "archive.sqlite")) as archive:
        then = archive.noted(NOTE)
        with archive.transaction() as connection:
            connection.execute("DELETE FROM campaign WHERE key = ?", (NOTE,))

    def listen(event: object) -> None:
        said.extend([event.text] if isinstance(event, Noted) else [])

    for n in (5, 6):
        assert run.resume(n, callbacks=listen).n_candidates == n
    assert sum("did not record what its parents and tasks were" in text for text in said) == 1
    with run.archive() as archive:
        assert then is not None
        assert json.loads(archive.noted(NOTE) or "")["parents"] == json.loads(then)["parents"]


def test_keys_of_a_later_version_are_kept_and_a_damaged_record_is_named(as_it_was: Path) -> None:
    run = em.load(as_it_was / "run")
    with contextlib.closing(Archive.open(run.directory / "archive.sqlite")) as archive:
        archive.note(NOTE, json.dumps({**json.loads(archive.noted(NOTE) or ""), "weather": "fine", "root": "/other"}))
    run.resume(5)
    with contextlib.closing(Archive.open(run.directory / "archive.sqlite")) as archive:
        assert json.loads(archive.noted(NOTE) or "")["weather"] == "fine"
        archive.note(NOTE, '{"parents": 3}')
    with pytest.raises(ArchiveError, match=r"inputs: expected digests .* found a damaged record"):
        run.resume(6)


def test_a_worker_elsewhere_with_other_weights_or_items_is_no_worker(as_it_was: Path) -> None:
    config = em.load(as_it_was / "run").config
    make = MakeWorker(dump_campaign(config), inputs=build_parts(config).inputs)
    noise(as_it_was / "models" / "beta" / "model.safetensors")
    write_items(as_it_was / "words.jsonl", items("words")[1:])
    with pytest.raises(WorkerSetupError) as refused:
        make()
    assert "parent 'beta': model.safetensors changed" in str(refused.value)
    assert "task 'words': 1 item removed" in str(refused.value)


def test_items_in_other_splits_are_noticed_though_none_of_them_changed() -> None:
    then = Inputs(tasks={"a": {"1": "x"}}, splits={"search": "s"})
    assert then.changes(then) == []
    assert "splits" in then.changes(then.model_copy(update={"splits": {"search": "t"}}))[0]
