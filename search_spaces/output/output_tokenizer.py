"""The tokenizer files of a merged model: copied from one parent, extended for a union, with a chosen chat template."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search_spaces.errors import SpaceError
from search_spaces.parents.checkpoint_files import CONFIG, GENERATION_CONFIG, TOKENIZER, TOKENIZER_FILES, read_json
from search_spaces.parents.parents import Parents
from search_spaces.parents.tokenizer_files import CHAT_TEMPLATE, chat_template, read_tokenizer
from search_spaces.parents.vocabulary import Vocabulary
from search_spaces.recipes.recipe import OutputTokenizer

_CONFIG = "tokenizer_config.json"
# Files that list tokens a second time; beside an extended tokenizer.json they would be out of date.
_OTHER_LISTS = ("added_tokens.json", "vocab.", "merges.txt", "spiece.model", "tokenizer.model")


def tokenizer_files(parents: Parents, base: str, tokenizer: OutputTokenizer) -> dict[str, Path | str]:
    """Return the output's tokenizer files: path inside the checkpoint -> the file to copy, or its text.

    The generation config is among them, for it names special tokens.
    """
    vocabulary = parents.vocabulary
    donor = parents[base if vocabulary is None else vocabulary.source]
    directory = donor.tokenizer_directory
    found = {path for pattern in TOKENIZER_FILES for path in directory.glob(pattern) if path.is_file()}
    files: dict[str, Path | str] = {str(path.relative_to(directory)): path for path in sorted(found)}
    if (donor.directory / GENERATION_CONFIG).is_file():
        files[GENERATION_CONFIG] = donor.directory / GENERATION_CONFIG
    if vocabulary is not None and vocabulary.added():
        files = {name: file for name, file in files.items() if not name.startswith(_OTHER_LISTS)}
        files |= _extended(directory, parents, vocabulary)
    if tokenizer.chat_template is not None:
        return _with_chat_template(files, _chosen_template(parents, tokenizer.chat_template))
    return files


def write_tokenizer(parents: Parents, base: str, tokenizer: OutputTokenizer, directory: Path) -> None:
    """Write the output's tokenizer files and the base's config to an existing directory, for a tokenizer's loader."""
    for name, file in tokenizer_files(parents, base, tokenizer).items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_bytes(file.encode() if isinstance(file, str) else file.read_bytes())
    (directory / CONFIG).write_text(_text(dict(parents[base].config)), encoding="utf-8")


def _extended(directory: Path, parents: Parents, vocabulary: Vocabulary) -> dict[str, str]:
    """Return tokenizer.json, and tokenizer_config.json where there is one, with the union's further tokens."""
    if not (directory / TOKENIZER).is_file():
        raise SpaceError(f"tokenizer: union: expected {TOKENIZER} in {directory}, found none; save the base's there")
    beyond = (read_tokenizer(directory).ids or {}).keys() - vocabulary.own[vocabulary.source].keys()
    if beyond:
        raise SpaceError(
            f"tokenizer: union: expected a row for every token of {vocabulary.source!r}, found {len(beyond)} tokens "
            f"without one, e.g. {min(beyond)!r}"
        )
    known = _added_tokens(parents)
    entries = [
        {**known.get(token, _plain_entry(token)), "id": vocabulary.ids[token], "content": token}
        for token in vocabulary.added()
    ]
    data = read_json(directory / TOKENIZER)
    data["added_tokens"] = [*(data.get("added_tokens") or []), *entries]
    files = {TOKENIZER: json.dumps(data, ensure_ascii=False)}
    _check(files[TOKENIZER], vocabulary)
    if (directory / _CONFIG).is_file():
        config = read_json(directory / _CONFIG)
        if "added_tokens_decoder" in config:
            config["added_tokens_decoder"] |= {
                str(entry["id"]): {key: value for key, value in entry.items() if key != "id"} for entry in entries
            }
        files[_CONFIG] = _text(config)
    return files


def _plain_entry(token: str) -> dict[str, Any]:
    """Return how a token that is ordinary elsewhere is added: found in the text as it is written."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    return {"id": 0, "content": token, **flags}


def _added_tokens(parents: Parents) -> dict[str, dict[str, Any]]:
    """Return the settings of tokens that some parent has as added ones; the first parent's count."""
    found: dict[str, dict[str, Any]] = {}
    for checkpoint in parents.checkpoints.values():
        path = checkpoint.tokenizer_directory / TOKENIZER
        for entry in (read_json(path).get("added_tokens") or []) if path.is_file() else []:
            found.setdefault(entry["content"], dict(entry))
    return found


def _check(text: str, vocabulary: Vocabulary) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(text)
    for token, row in vocabulary.ids.items():
        if tokenizer.token_to_id(token) != row:
            raise SpaceError(
                f"tokenizer: union: expected the token {token!r} at id {row}, found {tokenizer.token_to_id(token)}: "
                f"the ids of {vocabulary.source!r} have gaps; take tokenizer base, or fill the gaps"
            )


def _with_chat_template(files: Mapping[str, Path | str], template: str) -> dict[str, Path | str]:
    result = {name: file for name, file in files.items() if not name.startswith(("chat_template", "additional_chat"))}
    if _CONFIG in result:
        file = result[_CONFIG]
        config = json.loads(file) if isinstance(file, str) else read_json(file)
        result[_CONFIG] = _text({key: value for key, value in config.items() if key != "chat_template"})
    return {**result, CHAT_TEMPLATE: template}


def _chosen_template(parents: Parents, wanted: str) -> str:
    if wanted != "auto":
        return wanted
    found = [chat_template(checkpoint.tokenizer_directory) for checkpoint in parents.checkpoints.values()]
    templates = Counter(template for template in found if template)
    if not templates:
        raise SpaceError("chat_template: auto: expected a parent with a chat template, found none")
    return templates.most_common(1)[0][0]


def _text(data: object) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
