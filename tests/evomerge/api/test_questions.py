"""How a campaign asks: rows of task files by `questions`, and in the base's chat template where it has one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evomerge as em
from evomerge.config.errors import ConfigError
from evomerge.config.steering import steering_problems
from evomerge.config.yaml_document import parse_yaml
from tests.conftest import Family
from tests.fitness.conftest import write_jsonl

Searched = Callable[..., em.Run]
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}="


def prompts_of(run: em.Run) -> Any:
    with run.archive() as archive:
        return parse_yaml(archive.campaign).data["prompts"]["apply_chat_template"]


def test_a_search_asks_in_the_bases_chat_template_and_goes_on_as_it_began(searched: Searched, family: Family) -> None:
    chatty = Path(shutil.copytree(family.base, "chatty"))
    plain = searched(base=chatty, run_dir="plain", evaluations=5, prompts={"apply_chat_template": False})
    (chatty / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    run = searched(base=chatty, evaluations=5)
    assert (prompts_of(run), prompts_of(plain), prompts_of(searched(run_dir="none", evaluations=5))) == (
        True,
        False,
        False,
    )
    assert prompts_of(searched(base=chatty, evaluations=6)) is True
    with pytest.raises(em.EvomergeError, match=r"prompts\.apply_chat_template"):
        searched(base=chatty, evaluations=6, prompts={"apply_chat_template": False})


def test_the_search_of_an_older_evomerge_goes_on_in_plain_text(searched: Searched, family: Family) -> None:
    chatty = Path(shutil.copytree(family.base, "chatty"))
    (chatty / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    searched(base=chatty, evaluations=5, prompts={"apply_chat_template": False})
    assert prompts_of(searched(base=chatty, evaluations=6)) is False


def test_tasks_are_asked_by_the_campaigns_questions_and_by_an_objectives_own(searched: Searched) -> None:
    rows = [{"query": f"{n} and {n}", "label": n, "kind": "even"} for n in range(10, 50)]
    write_jsonl(Path("rows.jsonl"), rows)
    objectives = [
        {"name": "numbers", "tasks": ["rows.jsonl"], "questions": {"match": "number", "max_tokens": 3}},
        {"name": "words", "tasks": ["words.jsonl"]},
    ]
    general = {"template": "{query} ->", "columns": {"answer": "label"}}
    with pytest.raises(em.EvomergeError, match=r"columns\.answer: expected the column 'label'"):
        searched(objectives=objectives, questions=general, evaluations=5)
    objectives[0]["questions"] |= general
    run = searched(objectives=objectives, evaluations=5)
    with run.archive() as archive:
        assert {o.name for o in archive.records("search")[0].estimate.objectives} == {"numbers", "words"}  # type: ignore[union-attr]
    twice = [*objectives, {"name": "again", "tasks": ["rows.jsonl"]}]
    with pytest.raises(ConfigError, match=r"objectives\['again'\].questions: expected what another objective says of"):
        searched(objectives=twice, run_dir="twice")


def test_evaluate_asks_rows_as_it_is_told_and_names_what_is_wrong(arguments: dict[str, Any], family: Family) -> None:
    write_jsonl(Path("rows.jsonl"), [{"query": f"{n}+{n}", "answer": 2 * n} for n in range(6)])
    told = {"template": "{query}=", "match": "number", "max_tokens": 2}
    assert 0.0 <= em.evaluate(family.base, "rows.jsonl", questions=told).value("rows") <= 1.0
    with pytest.raises(ConfigError, match=r"questions\.matsch: expected one of .*; did you mean 'match'"):
        em.evaluate(family.base, "rows.jsonl", questions={"matsch": "number"})
    with pytest.raises(ConfigError, match="questions: expected a mapping, found 'number'"):
        em.evaluate(family.base, "rows.jsonl", questions="number")  # type: ignore[arg-type]


def test_templates_may_have_lines_in_a_campaign_file_and_in_an_objective(tmp_path: Path) -> None:
    text = 'questions: {template: "Q: {q}\\nA:"}\nobjectives: [{name: a, tasks: [x], questions: {stop: "\\n\\n"}}]\n'
    found = steering_problems(parse_yaml(text + 'name: "a\\nb"\n'))
    assert [problem.key for problem in found] == ["name"]
