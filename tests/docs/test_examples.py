"""Every example in README, docs and public docstrings runs as it stands."""

from __future__ import annotations

import doctest
import importlib
import linecache
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.docs.conftest import CAMPAIGN
from tests.docs.examples import PAGES, ROOT, Block, Docstring, blocks, docstrings_with_examples

PAGES_WITH_EXAMPLES = [page for page in PAGES if any(not block.reason for block in blocks(page))]
DOCSTRINGS = list(docstrings_with_examples())
MOST_NOT_RUN = 10


def run_python(block: Block, namespace: dict[str, object]) -> None:
    lines = block.text.splitlines(keepends=True)
    linecache.cache[block.where] = (len(block.text), None, lines, block.where)
    exec(compile(block.text, block.where, "exec"), namespace)


def check_yaml(block: Block, folder: Path) -> None:
    """Read a recipe of mergekit, or a campaign file, or a part of one."""
    from evomerge.config import load_campaign

    found = next(yaml.safe_load_all(block.text))
    if "merge_method" in found:
        return
    file = folder / "checked.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(CAMPAIGN), **found}))
    load_campaign(file)


def run_block(block: Block, namespace: dict[str, object], folder: Path, command: Callable[[str], int]) -> None:
    if block.file:
        (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
        (folder / block.file).write_text(block.text)
    if block.language == "yaml":
        check_yaml(block, folder)
    elif block.language == "python" and not block.file:
        run_python(block, namespace)
    elif block.language == "console":
        for line in block.text.splitlines():
            assert line.startswith("$ evomerge "), f"{block.where}: expected `$ evomerge ...`, found {line}"
            assert command(line.removeprefix("$ ")) == 0, f"{block.where}: {line}"


@pytest.mark.parametrize("page", PAGES_WITH_EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run_in_order(page: Path, folder: Path, command: Callable[[str], int]) -> None:
    namespace: dict[str, object] = {"__name__": "example"}
    for block in blocks(page):
        if not block.reason:
            run_block(block, namespace, folder, command)


@pytest.mark.parametrize("docstring", DOCSTRINGS, ids=lambda docstring: docstring.name)
@pytest.mark.usefixtures("folder")
def test_the_examples_of_a_docstring_run_and_print_what_they_say(docstring: Docstring) -> None:
    names = dict(vars(importlib.import_module(docstring.module)))
    test = doctest.DocTestParser().get_doctest(
        docstring.text, names, docstring.name, str(docstring.file), docstring.line
    )
    report: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append)
    assert not report, "".join(report)
    exec(compile(docstring.literal, docstring.name, "exec"), {"__name__": "example"})


def test_few_examples_are_not_run_and_each_says_why() -> None:
    left_out = [block for page in PAGES for block in blocks(page) if block.reason]
    assert len(left_out) <= MOST_NOT_RUN, [f"{block.where}: {block.reason}" for block in left_out]


def test_there_are_examples_on_the_pages_that_promise_some() -> None:
    with_examples = {str(page.relative_to(ROOT)) for page in PAGES_WITH_EXAMPLES}
    assert {"README.md", "docs/getting_started.md", "docs/tutorials/first_search.md"} <= with_examples


def test_no_docstring_skips_an_example() -> None:
    assert not [docstring.name for docstring in DOCSTRINGS if "+SKIP" in docstring.text]
