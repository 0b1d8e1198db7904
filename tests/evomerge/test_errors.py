import importlib
import importlib.util
import pkgutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

import evomerge
import fitness
import search_spaces
from evomerge.config.errors import ConfigError, ConfigProblem
from evomerge.errors import EvomergeError, exit_code, few_lines, few_of, in_brief, message_of, shortened
from evomerge.optimisers.errors import OptimiserError
from evomerge.results.picks import PickError
from fitness.errors import FitnessError
from search_spaces.errors import SpaceError

IN_VLLM = "evomerge.workers.vllm.extension"  # imported by vLLM alone
INSIDE = {"UndecidedError"}  # never leaves its module


def test_every_error_that_a_module_shows_derives_from_the_one_root() -> None:
    for package in (evomerge, fitness, search_spaces):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if module.name == IN_VLLM and importlib.util.find_spec("vllm") is None:
                continue
            for name, value in vars(importlib.import_module(module.name)).items():
                ours = isinstance(value, type) and value.__module__.split(".")[0] in (
                    "evomerge",
                    "fitness",
                    "search_spaces",
                )
                if ours and issubclass(value, Exception) and not name.startswith("_") and name not in INSIDE:
                    assert issubclass(value, EvomergeError), f"{module.name}.{name}"


def test_wrong_usage_exits_with_2_failed_work_with_1_and_a_defect_shows_its_traceback() -> None:
    assert {error.exit_code for error in (ConfigError, OptimiserError, PickError)} == {2}
    assert exit_code(SpaceError("no such parent")) == exit_code(FitnessError("no items")) == exit_code(OSError()) == 1
    assert exit_code(ValueError("a defect")) is None


@pytest.mark.parametrize("error", [ConfigError, FitnessError, OptimiserError, PickError, SpaceError])
def test_callers_that_catch_value_errors_still_do(error: type[Exception]) -> None:
    assert issubclass(error, ValueError)


def test_of_a_list_of_all_classes_the_nearest_three_are_told() -> None:
    from transformers import AutoModelForCausalLM, ViTConfig

    with pytest.raises(ValueError, match="Unrecognized configuration class") as raised:
        AutoModelForCausalLM.from_config(ViTConfig())
    found = in_brief(raised.value, 320)
    assert len(str(raised.value)) > 3000
    assert len(found) <= 320
    assert "AutoModelForCausalLM" in found
    assert found.endswith(" more")
    names = found.rpartition(" or ")[0].rpartition("one of ")[2].split(", ")
    assert len(names) == 3
    assert all(name.endswith("Config") for name in names)


def test_another_library_s_message_is_one_line() -> None:
    assert in_brief(ValueError("expected\n  this,\nfound that")) == "expected this, found that"
    assert in_brief(KeyError()) == "KeyError"


@given(st.text(min_size=1, max_size=400), st.integers(20, 300))
def test_a_shortened_text_is_a_beginning_of_it(text: str, most: int) -> None:
    short = shortened(text, most)
    assert len(short) <= most
    assert short == text or text.startswith(short.removesuffix(" ..."))


def test_of_many_lines_the_first_are_told() -> None:
    assert few_lines(["a", "b"]) == "a\nb"
    assert few_lines(list("abcdefgh")).splitlines() == ["a", "b", "c", "d", "and 4 more"]


def test_few_words_are_told_as_they_are_and_of_many_the_nearest() -> None:
    assert few_of(["a", "b"], "c") == "a, b"
    assert few_of(map(str, range(100)), "77").startswith("77, ")


def test_an_error_of_the_operating_system_is_told_with_its_path_however_long_it_is(tmp_path) -> None:
    with pytest.raises(OSError, match="File name too long") as error:
        (tmp_path / ("a" * 70_000)).read_text()
    assert message_of(error.value).endswith("...: File name too long")
    assert len(message_of(error.value)) < 300
    assert message_of(FitnessError("as it is")) == "as it is"


def test_no_message_is_longer_than_five_lines_whoever_wrote_it() -> None:
    problems = [ConfigProblem(f"key{i}", i, "none", "found " * 500) for i in range(9)]
    config = ConfigError(None, problems)
    for error in (config, SpaceError("\n".join(map(str, problems)))):
        told = str(error).splitlines()
        assert [line[:4] for line in told] == ["key0", "key1", "key2", "key3", "and "]
        assert told[-1] == "and 5 more"
        assert max(map(len, told)) <= 1000
    assert config.problems == problems


def test_a_message_of_megabytes_without_a_list_is_told_at_once() -> None:
    # Quadratic, as a search from every character would be, this takes hours; the fuzzer found it as a hang.
    assert in_brief(ValueError("x" * 3_000_000)).endswith(" ...")
    assert in_brief(ValueError("a, b, c, " * 300_000 + "!" * 1_000_000)).endswith(" ...")
