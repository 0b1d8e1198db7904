import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml

from evomerge.archive import Archive, ArchiveError
from tests.conftest import Family, make_family
from tests.evomerge.conftest import Outcome, n_items
from tests.evomerge.killing import contents

Command = Callable[..., Outcome]
REPOSITORY = Path(__file__).parents[3]
HEAVY = {"torch", "ray", "cma", "pymoo", "lm_eval", "transformers", "plotly", "datasets"}


@pytest.mark.parametrize("module", ["evomerge", "evomerge.cli.app", "evomerge.config", "search_spaces", "fitness"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(sorted(set(sys.modules) & {HEAVY}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pareto_prints_the_documented_json(evomerge: Command, finished: Path) -> None:
    done = evomerge("pareto", finished, "--json")
    found = json.loads(done.out)
    assert (found["campaign"], found["evaluations"], found["failures"]) == ("tiny", 12, 0)
    for point in found["front"]:
        assert set(point["objectives"]) == {"sums", "words"}
        assert set(point["objectives"]["sums"]) == {"value", "stderr", "split", "items", "kind", "weight"}
        assert point["objectives"]["sums"]["split"] == "search"
        assert point["objectives"]["sums"]["items"] == n_items(finished, "search", "sums/")
        assert point["recipe"]["rules"]
    verified = json.loads(evomerge("verify", finished, "--json", "--top", 2).out)
    by_pick = {pick: winner["candidate"] for winner in verified["winners"] for pick in winner["picks"]}
    assert found["picks"]["candidates"] == {**by_pick, "winner": verified["winner"]}
    assert (found["picks"]["by"], verified["number"], verified["told"]) == ("validation", 1, 12)
    assert verified["winners"][0]["bought"]["recipe"] in [row["name"] for row in verified["rows"]]


def test_pareto_prints_a_table_and_under_it_the_picks(evomerge: Command, finished: Path) -> None:
    out = evomerge("pareto", finished).out
    assert "12 evaluations, 0 failures" in out
    assert "picks by validation items: winner, best, knee" in " ".join(out.split())


def test_verify_prints_the_documented_json_with_every_parent_and_a_verdict(evomerge: Command, finished: Path) -> None:
    found = json.loads(evomerge("verify", finished, "--json", "--top", 2).out)
    names = [row["name"] for row in found["rows"]]
    assert names[:5] == ["base", "alpha", "beta", "uniform mean", "default TIES"]
    assert names[5:] == [f"candidate {winner['candidate']}" for winner in found["winners"]]
    assert found["winner"] == found["winners"][0]["candidate"]
    for winner in found["winners"]:
        assert {c["name"] for c in winner["comparisons"]} == set(names[:5])
        assert winner["flips_against"] == "base"
        of_tasks = [n_items(finished, "test", task) for task in ("sums/", "words/")]
        assert [flips["n_items"] for flips in winner["flips"]] == of_tasks
    best = next(row for row in found["rows"] if row["name"] == found["best_parent"])
    assert best["difference_to_best_parent"] is None
    for row in found["rows"]:
        assert set(row) >= {"name", "candidate", "objectives", "mean", "difference_to_best_parent"}
        assert row["objectives"]["sums"]["items"] == n_items(finished, "test", "sums/")
        if row is not best:
            d = row["difference_to_best_parent"]
            assert d["low"] <= d["value"] <= d["high"]
            assert d["value"] == pytest.approx(row["mean"] - best["mean"])
    # Random models are at chance: nothing may be called a winner on 24 items.
    assert found["standing"] == "not_shown"
    assert "is not " in found["verdict"]


def test_an_exported_pick_loads_with_plain_transformers(evomerge: Command, finished: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    done = evomerge("export", finished, "--pick", "winner", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert model.generate(**tokenizer("sums 1:", return_tensors="pt"), max_new_tokens=2, do_sample=False).shape[1] > 2
    assert "95 %" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("choice", ["knee", "best", "7"])
def test_export_takes_every_kind_of_pick(evomerge: Command, finished: Path, tmp_path: Path, choice: str) -> None:
    assert evomerge("export", finished, "--pick", choice, "--out", tmp_path / "out").code == 0
    assert (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("choice", "code", "message"),
    [
        ("kne", 2, "expected knee, best"),
        ("best:sum", 2, "one of sums, words"),
        ("999", 2, "number, below 12"),
    ],
)
def test_a_pick_that_names_nothing_is_refused(
    evomerge: Command, finished: Path, tmp_path: Path, choice: str, code: int, message: str
) -> None:
    done = evomerge("export", finished, "--pick", choice, "--out", tmp_path / "out")
    assert done.code == code
    assert message in done.err


def test_a_pick_that_the_verification_dropped_is_refused_with_the_reason(
    evomerge: Command, finished: Path, tmp_path: Path
) -> None:
    picks = json.loads(evomerge("pareto", finished, "--json").out)["picks"]
    assert picks["dropped"]
    for pick, why in picks["dropped"].items():
        done = evomerge("export", finished, "--pick", pick, "--out", tmp_path / "out")
        assert done.code == 2
        assert why in done.err
        assert done.err.rstrip().endswith(f"to have it, pick {picks['searched'][pick]}")


def test_what_is_exported_scores_as_it_was_scored(evomerge: Command, finished: Path, tmp_path: Path) -> None:
    evomerge("export", finished, "--pick", 8, "--out", tmp_path / "out")
    task = finished.parent / "sums.jsonl"
    scored = json.loads(evomerge("eval", tmp_path / "out", "--tasks", task, "--json").out)["tasks"][0]["items"]
    archived = Archive.read(finished / "archive.sqlite").scores(8, "search")
    assert archived is not None
    sums = {i: v for i, v in zip(archived.item_ids, archived.values, strict=True) if i.startswith("sums/")}
    assert {item: scored[item] for item in sums} == sums


def test_a_run_directory_holds_what_the_architecture_names(finished: Path) -> None:
    assert {"campaign.yaml", "archive.sqlite", "report.html", "log.txt"} <= {p.name for p in finished.iterdir()}


def test_run_resumes_and_a_larger_budget_goes_on(evomerge: Command, campaign_file: Callable[..., Path]) -> None:
    path = campaign_file()
    run_dir = path.parent / "run"
    assert evomerge("run", path, "--run-dir", run_dir, "--evaluations", 7).code == 0
    done = evomerge("run", path, "--run-dir", run_dir, "--evaluations", 9)
    assert done.code == 0, done.err
    assert "resuming" in done.out
    assert json.loads(evomerge("pareto", run_dir, "--json").out)["evaluations"] == 9


def test_a_campaign_that_would_change_the_past_is_refused_with_a_diff(
    evomerge: Command, campaign_file: Callable[..., Path]
) -> None:
    path = campaign_file()
    run_dir = path.parent / "run"
    evomerge("run", path, "--run-dir", run_dir, "--evaluations", 6)
    campaign_file(seed=5)
    done = evomerge("run", path, "--run-dir", run_dir)
    assert done.code == 1
    assert "seed" in done.err
    assert "0 -> 5" in done.err


def test_a_run_directory_in_use_is_refused(evomerge: Command, campaign_file: Callable[..., Path]) -> None:
    from evomerge.campaign.run_directory import RunDirectory

    path = campaign_file()
    with RunDirectory(path.parent / "run").locked():
        done = evomerge("run", path, "--run-dir", path.parent / "run")
    assert done.code == 1
    assert f"live process {os.getpid()}" in done.err


def test_every_error_of_a_campaign_file_is_reported_at_once_with_its_line(
    evomerge: Command, campaign_file: Callable[..., Path]
) -> None:
    path = campaign_file(sead=1, budget={"evaluations": 0}, space={"operator": "tise"})
    done = evomerge("run", path)
    assert done.code == 2
    for expected in ("sead", "budget.evaluations", "did you mean 'ties'"):
        assert expected in done.err


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"optimiser": {"kind": "cma_es", "CMA_activ": True}}, 2, "did you mean 'CMA_active'"),
        ({"objectives": [{"name": "a", "tasks": ["arc_eazy"]}]}, 1, "did you mean arc_easy"),
        ({"space": {"groups": {"layer_blocks": 99}}}, 1, "at most one per layer (2)"),
        (
            {
                "splits": {"search": 0.01, "validation": 0.0, "test": 0.0},
                "objectives": [{"name": "a", "tasks": ["one.jsonl"]}],
            },
            1,
            "at least one item",
        ),
    ],
)
def test_bad_input_gets_one_message_and_no_traceback(
    evomerge: Command, campaign_file: Callable[..., Path], change: dict[str, object], code: int, message: str
) -> None:
    path = campaign_file(**change)
    (path.parent / "one.jsonl").write_text("")
    done = evomerge("run", path, "--run-dir", path.parent / "run")
    assert done.code == code
    assert message in done.err


def test_nan_in_a_parent_is_found_before_anything_is_scored(
    evomerge: Command, campaign_file: Callable[..., Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    broken = make_family(tmp_path / "models")
    file = broken.experts["beta"] / "model.safetensors"
    tensors = load_file(file)
    tensors["model.norm.weight"][3] = torch.nan
    save_file(tensors, file, metadata={"format": "pt"})
    path = campaign_file(parents=[str(p) for p in broken.experts.values()])
    done = evomerge("run", path, "--run-dir", tmp_path / "run")
    assert done.code == 1
    assert "beta" in done.err
    assert "model.norm.weight" in done.err


def test_an_item_too_long_for_the_model_is_found_before_anything_is_scored(
    evomerge: Command, campaign_file: Callable[..., Path]
) -> None:
    path = campaign_file(objectives=[{"name": "a", "tasks": ["long.jsonl"]}])
    items = [{"id": str(i), "prompt": f"{i}:", "answer": "b"} for i in range(20)]
    items.append({"id": "huge", "prompt": "a", "answer": "c" * 200})
    (path.parent / "long.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    done = evomerge("run", path, "--run-dir", path.parent / "run")
    assert done.code == 1
    assert "item 'long/huge'" in done.err
    assert Archive.read(path.parent / "run" / "archive.sqlite").n_candidates == 0


def test_pareto_of_a_directory_that_is_no_run_is_refused(evomerge: Command, tmp_path: Path) -> None:
    done = evomerge("pareto", tmp_path)
    assert done.code == 1
    assert "is this the directory of a run?" in done.err


def test_init_writes_a_file_that_plan_accepts(evomerge: Command, family: Family, tmp_path: Path) -> None:
    out = tmp_path / "campaign.yaml"
    done = evomerge("init", *family.experts.values(), "--base", family.base, "--out", out)
    assert done.code == 0
    data = yaml.safe_load(out.read_text())
    for objective in data["objectives"]:
        for task in objective["tasks"]:
            (tmp_path / task).parent.mkdir(exist_ok=True)
            (tmp_path / task).write_text(
                "".join(json.dumps({"prompt": f"{i}:", "answer": str(i)}) + "\n" for i in range(20))
            )
    data["space"]["groups"]["layer_blocks"] = 2
    out.write_text(yaml.safe_dump(data))
    done = evomerge("plan", out)
    assert done.code == 0, done.err
    assert "one candidate" in done.out
    assert evomerge("init", "a", "b", "--out", out).code == 1


def test_merge_carries_out_mergekit_yaml_and_our_own_json(evomerge: Command, family: Family, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    recipe = {
        "merge_method": "task_arithmetic",
        "base_model": str(family.base),
        "models": [{"model": str(p), "parameters": {"weight": 0.5}} for p in family.experts.values()],
        "dtype": "float32",
    }
    (tmp_path / "recipe.yml").write_text(yaml.safe_dump(recipe))
    assert evomerge("merge", tmp_path / "recipe.yml", tmp_path / "a").code == 0
    assert evomerge("merge", tmp_path / "a" / "recipe.json", tmp_path / "b").code == 0
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    parents = [load_file(p / "model.safetensors") for p in family.parents.values()]
    for name, tensor in a.items():
        base, *experts = (p[name] for p in parents)
        torch.testing.assert_close(tensor, base + sum(0.5 * (e - base) for e in experts), rtol=0, atol=1e-7)
        assert torch.equal(tensor, b[name])


def told(run_dir: Path) -> int:
    """Return how many candidates a running search has told; 0 while it is still making its archive."""
    try:
        with contextlib.closing(Archive.read(run_dir / "archive.sqlite")) as archive:
            return len(archive.records())
    except ArchiveError:
        return 0


@contextlib.contextmanager
def searching(path: Path, run_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a search in a process of its own, until its first outcome is in the archive."""
    command = [sys.executable, "-m", "evomerge.cli", "run", str(path), "--run-dir", str(run_dir)]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (run_dir / "archive.sqlite").exists() or not told(run_dir):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        yield process


def test_sigkill_of_a_search_over_real_models_loses_nothing(
    evomerge: Command, campaign_file: Callable[..., Path], finished: Path
) -> None:
    path = campaign_file()
    run_dir = path.parent / "run"
    with searching(path, run_dir) as process:
        process.kill()
    assert told(run_dir) < 12
    assert evomerge("run", path, "--run-dir", run_dir).code == 0
    assert contents(run_dir / "archive.sqlite") == contents(finished / "archive.sqlite")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_finishes_what_runs_saves_and_says_how_to_go_on(
    evomerge: Command, campaign_file: Callable[..., Path], number: signal.Signals
) -> None:
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("these tests run under nohup, as what they start does")
    path = campaign_file(budget={"evaluations": 100000}, landmarks="none")
    run_dir = path.parent / "run"
    with searching(path, run_dir) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "everything is saved" in err
    assert "Traceback" not in out + err
    assert evomerge("run", path, "--run-dir", run_dir, "--evaluations", 6).code == 0
    assert [r.number for r in Archive.read(run_dir / "archive.sqlite").records()] == list(range(6))
