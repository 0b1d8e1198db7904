"""Questions are shown of the user's own runs only."""

import json
from pathlib import Path

from evomerge.results.pages.items import item_texts


def settings(*tasks: Path) -> dict[str, object]:
    return {"objectives": [{"name": "one", "tasks": [f"{task}:acc" for task in tasks]}]}


def test_items_are_found_by_the_ids_that_scores_have(tmp_path: Path) -> None:
    choice = {"id": "q", "question": "2 + 2 =", "choices": ["3", "4"], "gold": 1}
    exact = {"id": "p", "prompt": "capital of France:", "answer": "Paris"}
    for name, item in (("sums", choice), ("facts", exact)):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(item) + "\n")
    found = item_texts(settings(tmp_path / "sums.jsonl", tmp_path / "facts.jsonl"), ours=True)
    assert found["facts/p"] == {"question": "capital of France:", "gold": "Paris"}
    assert found["sums/q"]["gold"] == "4"
    assert "2 + 2 =" in found["sums/q"]["question"]


def test_a_run_that_somebody_else_began_shows_no_file_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"prompt": "secret", "answer": "x"}\n')
    assert item_texts(settings(tmp_path / "mine.jsonl"), ours=False) == {}


def test_what_is_no_task_file_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "broken.jsonl").write_text("root:x:0:0\n")
    assert item_texts(settings(tmp_path / "broken.jsonl", tmp_path / "gone.jsonl"), ours=True) == {}
    assert item_texts({"objectives": "nonsense"}, ours=True) == {}
