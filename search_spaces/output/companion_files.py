"""The files of a merged model beside weights and config: the base's, and nothing that points to what is not there."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces.output.output_tokenizer import tokenizer_files, write_tokenizer
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.checkpoint_files import CONFIG, TOKENIZER, read_json
from search_spaces.parents.model_files import CODE, MODULES, companions, module_folders, read_modules
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import OutputTokenizer, Recipe

_AUTO_MAP, _TEMPLATE = "auto_map", "chat_template"
_LARGE = ("tokenizer.json", "vocab.json", "model.safetensors.index.json")  # lists, which name no code
# What the files are called that list a tokenizer's tokens.
_VOCABULARIES = (TOKENIZER, "vocab", "spiece.model", "tokenizer.model", "sentencepiece", "bpe.codes", "tekken.json")
_COPY = "trust_remote_code: true (--trust-remote-code) copies it, without running it"


@dataclass(frozen=True)
class CompanionFiles:
    """What is written beside the weights.

    Attributes:
        files: path inside the checkpoint -> the file to copy, or its text.
        notes: what was left out, and what of it was not merged.
    """

    files: Mapping[str, Path | str]
    notes: tuple[str, ...] = ()


def companion_files(
    recipe: Recipe, parents: Parents, config: Mapping[str, Any], *, remote_code: bool = False
) -> CompanionFiles:
    """Return the output's config, tokenizer, processor, generation config, licences and further modules.

    They are the base's, but for the tokenizer that the recipe asks for. Code is copied if `remote_code`, and never run;
    without it `auto_map`, which names classes in it, is left out wherever it would point to a missing file.
    """
    base, directory = parents[recipe.base], parents[recipe.base].directory
    files: dict[str, Path | str] = {str(path.relative_to(directory)): path for path in companions(directory)}
    files |= tokenizer_files(parents, recipe.base, recipe.tokenizer)
    files[CONFIG] = json.dumps(dict(config), indent=2) + "\n"
    if recipe.tokenizer.chat_template is not None:
        files |= _changed(files, "*processor_config.json", {_TEMPLATE})
    if remote_code:
        places = dict.fromkeys((directory, base.tokenizer_directory))
        files |= {path.name: path for place in places for path in sorted(place.glob(CODE)) if path.is_file()}
    notes = _of_tokenizer(base, files)
    for name in [name for name, file in files.items() if _names_code(name, file)]:
        if lost := _lost_code(_read(files[name]), files):
            kept = _without_code(_read(files[name]), lambda named: bool(_lost_code({_AUTO_MAP: named}, files)))
            files[name] = _text(kept)
            notes.append(f"{name}: auto_map is left out, as its code ({', '.join(lost)}) is not there; {_COPY}")
    return CompanionFiles(files, (*notes, *_of_modules(directory, files)))


def write_companions(parents: Parents, base: str, tokenizer: OutputTokenizer, directory: Path) -> None:
    """Write the output's tokenizer and processor and the base's config to an existing directory, for loaders.

    `auto_map` is left out, for code of a checkpoint's is not run: not every loader of transformers hands on that it is
    told so, and such a one would ask.
    """
    source = parents[base].directory
    for path in companions(source):
        (directory / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        (directory / path.relative_to(source)).write_bytes(path.read_bytes())
    write_tokenizer(parents, base, tokenizer, directory)
    files: dict[str, Path | str] = {path.name: path for path in directory.glob("*.json")}
    for name in [name for name, file in files.items() if _names_code(name, file)]:
        (directory / name).write_text(_text(_without_code(_read(files[name]), lambda _: True)), encoding="utf-8")


def names_code(directory: Path) -> bool:
    """Return whether a JSON file of a checkpoint names code of its own."""
    return any(_names_code(path.name, path) for path in directory.glob("*.json") if path.is_file())


def _of_tokenizer(base: Checkpoint, files: Mapping[str, Path | str]) -> list[str]:
    """Return a note where there is no tokenizer to copy, or one without tokens, for a model that reads tokens."""
    if base.embedding is None or base.architecture.guessed:
        return []
    lists = [name for name in files if name.startswith(_VOCABULARIES) or name.endswith((".spm", ".tiktoken"))]
    tokens = _read(files[TOKENIZER]) if TOKENIZER in files else None
    if not lists:
        return ["tokenizer: the base brings none, so the merge has none; copy the files of one into its directory"]
    if lists == [TOKENIZER] and not (isinstance(tokens, Mapping) and tokens.get("model")):
        return [f"tokenizer: {TOKENIZER} of the base holds no tokens, and the merge's is a copy; replace it"]
    return []


def _of_modules(directory: Path, files: Mapping[str, object]) -> list[str]:
    """Return notes on sentence-transformers' modules: weights of their own, code that is not there."""
    weighty = [
        folder
        for folder in module_folders(directory)
        if any((directory / folder).rglob("*.safetensors")) or any((directory / folder).rglob("*.bin"))
    ]
    kinds = [str(module.get("type", "")) for module in read_modules(directory)]
    own = [kind for kind in kinds if not kind.startswith("sentence_transformers.") and "--" not in kind]
    lost = [kind for kind in own if f"{kind.partition('.')[0]}.py" not in files]
    return [
        *(f"{folder}: its weights are the base's; modules behind the transformer are not merged" for folder in weighty),
        *([f"{MODULES}: the code of {', '.join(lost)} is not copied; {_COPY}"] if lost else []),
    ]


def _names_code(name: str, file: Path | str) -> bool:
    if "/" in name or not name.endswith(".json") or name in _LARGE:
        return False
    text = file if isinstance(file, str) else file.read_text(encoding="utf-8", errors="replace")
    if _AUTO_MAP not in text and "\\u" not in text:  # JSON may write a letter in another way
        return False
    try:
        return _has_auto_map(json.loads(text))
    except (ValueError, RecursionError):
        return False


def _has_auto_map(data: object) -> bool:
    if isinstance(data, Mapping):
        return _AUTO_MAP in data or any(map(_has_auto_map, data.values()))
    return isinstance(data, list) and any(map(_has_auto_map, data))


def _lost_code(data: object, files: Collection[str]) -> list[str]:
    """Return the files that `auto_map`, at any depth, names and that are not among some files."""
    if isinstance(data, list):
        return [name for value in data for name in _lost_code(value, files)]
    if not isinstance(data, Mapping):
        return []
    named = data.get(_AUTO_MAP)
    references = [
        one
        for value in (named.values() if isinstance(named, Mapping) else [named])
        for one in (value if isinstance(value, list) else [value])
    ]
    # REPOSITORY--MODULE.CLASS lies elsewhere, and stays there.
    local = [f"{one.partition('.')[0]}.py" for one in references if isinstance(one, str) and "--" not in one]
    below = [name for key, value in data.items() if key != _AUTO_MAP for name in _lost_code(value, files)]
    return list(dict.fromkeys(name for name in (*local, *below) if name not in files))


def _without_code(data: object, drops: Callable[[object], bool]) -> object:
    """Return JSON data without every `auto_map` that `drops` says so of."""
    if isinstance(data, list):
        return [_without_code(value, drops) for value in data]
    if not isinstance(data, Mapping):
        return data
    return {key: _without_code(value, drops) for key, value in data.items() if key != _AUTO_MAP or not drops(value)}


def _changed(files: Mapping[str, Path | str], pattern: str, dropped: Collection[str]) -> dict[str, Path | str]:
    """Return the JSON files of a pattern without some keys, as far as they have them."""
    found: dict[str, Path | str] = {}
    for name, file in files.items():
        if Path(name).match(pattern) and "/" not in name:
            data = _read(file)
            if isinstance(data, Mapping) and dropped & data.keys():
                found[name] = _text({key: value for key, value in data.items() if key not in dropped})
    return found


def _read(file: Path | str) -> object:
    return json.loads(file) if isinstance(file, str) else read_json(file)


def _text(data: object) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
