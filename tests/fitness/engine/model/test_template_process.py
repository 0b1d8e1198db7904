"""Chat templates with limits: the text is what transformers itself renders, and one without end is one message."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from fitness.engine.model.chat_template import ChatTemplate
from fitness.errors import FitnessError
from tests.conftest import Family

MESSAGES = [{"role": "user", "content": "1+1=\u00e9"}, {"role": "assistant", "content": "2"}]
TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{{ last }}"
LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}" + "{% endfor %}" * 3
TWICE = "{% set t = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set t.s = t.s ~ t.s %}{% endfor %}"


@pytest.fixture
def tokenizer(family: Family, tmp_path: Path) -> Any:
    """A tokenizer with a chat template of its own file."""
    found = AutoTokenizer.from_pretrained(family.base)
    found.chat_template = TEMPLATE
    found.save_pretrained(tmp_path)
    return AutoTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize("begun", [False, True])
def test_the_text_is_that_of_transformers(tokenizer: Any, *, begun: bool) -> None:
    render = ChatTemplate(tokenizer, {"last": "[]"})
    expected = tokenizer.apply_chat_template(
        MESSAGES, tokenize=False, add_generation_prompt=not begun, continue_final_message=begun, last="[]"
    )
    assert render(MESSAGES, not begun) == expected


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (LOOP, "it takes more than 2 s"),
        ("{{ 'a' * 9999999999 }}", "of memory"),
        ("{{ 'a'.center(9999999999) }}", "of memory"),
        (TWICE, "of memory"),
        ("{{ 'a' * 20000000 }}", "longer than 16,777,216 characters"),
        ("{{ 'a' * 5000000 }}", "it makes 5,000,000 characters of what takes"),
        ("{{ '\\ud800' }}", "it makes half a surrogate pair at character 0"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "calls itself without end"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ messages.nope.nope }}", "nope"),
        ("{% for %}", "expected an expression, got"),
    ],
)
def test_a_template_that_gives_no_text_is_named_and_the_next_one_renders(
    tokenizer: Any, tmp_path: Path, template: str, words: str
) -> None:
    tokenizer.chat_template = template
    with pytest.raises(FitnessError) as raised:
        ChatTemplate(tokenizer)(MESSAGES)
    assert str(raised.value).startswith(f"{tmp_path / 'chat_template.jinja'}: ")
    assert words in str(raised.value).lower()
    assert len(str(raised.value).splitlines()) == 1
    tokenizer.chat_template = TEMPLATE
    assert "user: 1+1=" in ChatTemplate(tokenizer)(MESSAGES)


def test_threads_get_their_own_texts(tokenizer: Any) -> None:
    render, found = ChatTemplate(tokenizer), {}

    def ask(number: int) -> None:
        for _ in range(20):
            found[number] = render([{"role": "user", "content": str(number)}])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(f"user: {number}\n" in text for number, text in found.items())
    assert len(found) == 4


def test_arguments_that_json_cannot_say_are_refused(tokenizer: Any) -> None:
    with pytest.raises(FitnessError, match="chat_template_args: expected what JSON can say"):
        ChatTemplate(tokenizer, {"when": object()})(MESSAGES)


def test_the_child_takes_nothing_of_ours(tmp_path: Path) -> None:
    from fitness.engine.model import template_child

    text = Path(template_child.__file__).read_text()
    assert "import fitness" not in text
    assert "from fitness" not in text
    assert json.loads(json.dumps(template_child.answer({"templates": "x", "special_tokens": {}, "arguments": {}})))
