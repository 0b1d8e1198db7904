"""Every call that loads a checkpoint says that its code is not run, and who computes attention."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("evomerge", "fitness", "search_spaces", "experiments", "examples", "docs")
# These read JSON and nothing else; there is no code that they could run.
PLAIN = {"GenerationConfig"}
AUTO = {"Config", "Tokenizer", "Processor", "ImageProcessor", "VideoProcessor", "FeatureExtractor"}
WITHOUT_ATTENTION = {f"Auto{kind}" for kind in AUTO} | {"HFLM"}
OF_OURS = (None, "eager", "sdpa")
# Nothing here loads models, data or kernels by these: they would run what a stranger wrote, or fetch it.
NEVER = {"get_kernel", "load_dataset", "simple_evaluate", "get_class_from_dynamic_module"}
# But for one: datasets 4 and newer know no scripts any more, and `hf:` names what is to be fetched.
FETCHES = {"fitness/tasks/rows.py": "load_dataset"}


def loading_calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str, str]]:
    """Yield (call, what is loaded, how) of every call that loads a checkpoint."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            match call.func:
                case ast.Attribute(owner, "from_pretrained" | "from_config" | "_from_config" as how):
                    yield call, ast.unparse(owner).rpartition(".")[2], how
                case ast.Name("HFLM") | ast.Attribute(_, "HFLM"):
                    yield call, "HFLM", "made"
                case ast.Attribute(ast.Name("transformers"), "pipeline") | ast.Attribute(_, "create_from_arg_string"):
                    yield call, "pipeline", "forbidden"
                case ast.Name(name) | ast.Attribute(_, name) if name in NEVER:
                    yield call, name, "forbidden"


def what_is_missing(source: str, allowed: str = "") -> list[str]:
    found = []
    for call, loaded, how in loading_calls(ast.parse(source)):
        if loaded == allowed:
            continue
        said = {keyword.arg: keyword.value for keyword in call.keywords}
        missing = []
        if loaded not in PLAIN and how != "_from_config" and not is_constant(said.get("trust_remote_code"), (False,)):
            missing.append("trust_remote_code=False")
        attention = said.get("attn_implementation")
        # `_from_config` gets what `uninitialised` chose, see tests of it.
        chosen = attention is not None if how == "_from_config" else is_constant(attention, OF_OURS)
        if loaded not in PLAIN | WITHOUT_ATTENTION and not chosen:
            missing.append("attn_implementation")
        if how == "forbidden" or missing:
            found.append(f"{call.lineno}: {ast.unparse(call.func)}: {', '.join(missing)}")
    return found


def is_constant(node: ast.expr | None, allowed: tuple[object, ...]) -> bool:
    return isinstance(node, ast.Constant) and any(node.value is one or node.value == one for one in allowed)


def test_every_call_that_loads_a_checkpoint_runs_none_of_its_code() -> None:
    files = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
    n_calls = sum(len(list(loading_calls(ast.parse(file.read_text())))) for file in files)
    assert n_calls >= 18  # there is something to look at
    allowed = {ROOT / file: name for file, name in FETCHES.items()}
    found = {str(file): what_is_missing(file.read_text(), allowed.get(file, "")) for file in files}
    assert {file: missing for file, missing in found.items() if missing} == {}


@pytest.mark.parametrize(
    "call",
    [
        "AutoTokenizer.from_pretrained(x)",
        "transformers.AutoConfig.from_pretrained(x, trust_remote_code=True)",
        "AutoConfig.from_pretrained(x, **{'trust_remote_code': False})",
        "AutoModel.from_pretrained(x, trust_remote_code=False)",
        "AutoModel.from_pretrained(x, trust_remote_code=False, attn_implementation='someone/kernel')",
        "AutoModelForCausalLM.from_config(x, attn_implementation='sdpa')",
        "peft.PeftModel.from_pretrained(m, x)",
        "kind._from_config(config)",
        "transformers.pipeline('text-generation', x, trust_remote_code=False, attn_implementation=None)",
        "datasets.load_dataset(x)",
        "HFLM(pretrained=x)",
    ],
)
def test_a_call_that_leaves_it_to_a_library_is_found(call: str) -> None:
    assert what_is_missing(call)
