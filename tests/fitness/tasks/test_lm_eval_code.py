"""Functions that lm-eval's task files name are told before they are imported."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from fitness.errors import FitnessError
from fitness.tasks.lm_eval_code import code_of
from fitness.tasks.lm_eval_tasks import load_definitions

TASK = """
task: mine
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: !function own.question
doc_to_choice: [a, b]
doc_to_target: 0
metric_list: [{{metric: acc}}]
"""


def nobody(name: str) -> Path | None:
    return None


def test_functions_of_a_file_and_of_what_it_includes_are_named_with_their_files(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("doc_to_target: !function deep.er.target\ninclude: mine.yaml\n")
    (tmp_path / "mine.yaml").write_text("include: base.yaml\ndoc_to_text: !function own.question\n")
    assert code_of(tmp_path / "mine.yaml", nobody) == (
        f"question of {tmp_path}/own.py",
        f"target of {tmp_path}/deep/er.py",
    )


def test_subtasks_of_a_group_and_scripts_of_metrics_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "group.yaml").write_text("group: all_of_mine\ntask: [one, arc_easy]\n")
    (tmp_path / "one.yaml").write_text("task: one\nmetric_list: [{metric: x/y, hf_evaluate: true}]\n")
    (tmp_path / "plain.yaml").write_text("task: plain\ndoc_to_text: '{{question}}'\n")
    files = {"one": tmp_path / "one.yaml"}
    assert code_of(tmp_path / "group.yaml", files.get) == (
        f"a metric's script from the hub (hf_evaluate in {tmp_path}/one.yaml)",
    )
    assert code_of(tmp_path / "plain.yaml", nobody) == ()
    assert code_of(tmp_path / "missing.yaml", nobody) == ()


def test_they_are_told_before_anything_is_imported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "data.jsonl").write_text(json.dumps({"question": "q"}) + "\n")
    (tmp_path / "own.py").write_text(
        "import logging\nlogging.getLogger('own').warning('imported')\nraise OSError('x')\n"
    )
    file = tmp_path / "mine.yaml"
    file.write_text(TASK.format(data=tmp_path / "data.jsonl"))
    with caplog.at_level(logging.WARNING), pytest.raises(FitnessError):
        load_definitions(file)
    said = [
        (record.name, record.getMessage()) for record in caplog.records if record.name.startswith(("fitness", "own"))
    ]
    assert said[0] == ("fitness.tasks.lm_eval_tasks", f"{file} runs code: question of {tmp_path}/own.py")
    assert said[1:2] == [("own", "imported")]
