"""An export, uploaded to the Hugging Face hub: first as a list of what would be sent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomerge.archive.campaign_text import campaign_settings
from evomerge.content import content_of
from evomerge.errors import EvomergeError, in_brief
from evomerge.results.local_paths import without_directories
from search_spaces.recipes.recipe import RECIPE_FILE

_CARD = "README.md"
_MOST_BYTES = 2**24
_LEFT_OUT = (".git", ".cache", ".DS_Store")


class PushError(EvomergeError):
    """Nothing can be uploaded, or the hub refused it."""


@dataclass(frozen=True)
class Upload:
    """What would be sent.

    Attributes:
        repo: OWNER/NAME.
        private: whether only its owner would see it.
        files: path in the repository -> the file, or its text where that is another one there.
        metadata: the card's.
    """

    repo: str
    private: bool
    files: dict[str, Path | bytes]
    metadata: dict[str, Any]

    @property
    def sizes(self) -> dict[str, int]:
        """Path in the repository -> bytes."""
        return {
            name: len(file) if isinstance(file, bytes) else file.stat().st_size for name, file in self.files.items()
        }


def upload_of(directory: Path, repo: str, *, private: bool = False) -> Upload:
    """Return what of an exported directory would be sent, with no path of this machine in any of it.

    Raises:
        PushError: there is no model, or the repository has no name that the hub takes.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise PushError(f"repo: expected OWNER/NAME, found {repo!r} ({in_brief(error)})") from error
    if repo.count("/") != 1:
        raise PushError(f"repo: expected OWNER/NAME, found {repo!r}")
    if not (directory / "config.json").is_file():
        raise PushError(f"{directory}: expected an exported model, found no config.json")
    files: dict[str, Path | bytes] = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_file() and not path.is_symlink() and name.split("/")[0] not in _LEFT_OUT:
            files[name] = path
    for name, clean in _CLEANED.items():
        if name in files:
            files[name] = clean(content_of(directory / name, _MOST_BYTES).decode()).encode()
    card = files.get(_CARD, b"")
    text = card.decode().replace('"MODEL"', json.dumps(repo)) if isinstance(card, bytes) else ""
    if text:
        files[_CARD] = text.encode()
    metadata = campaign_settings(text.split("\n---", 1)[0].removeprefix("---")) if text.startswith("---") else {}
    return Upload(repo, private, files, dict(metadata))


def push(upload: Upload) -> str:
    """Make the repository where there is none, and commit every file at once; return the commit's address.

    Raises:
        PushError: nobody is logged in, the hub refuses, or there is no network; in one sentence.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=file) for name, file in upload.files.items()]
    if api.token is None and _token() is None:
        raise PushError("expected a login at the hub: run `hf auth login`, or set HF_TOKEN to a token that may write")
    try:
        api.create_repo(upload.repo, private=upload.private, exist_ok=True)
        done = api.create_commit(upload.repo, operations, commit_message="Upload a merge made with evomerge")
    except Exception as error:  # of the hub's library, its HTTP client, or the network below
        raise PushError(_reason(error, upload.repo)) from error
    return str(done.commit_url)


def _token() -> str | None:
    from huggingface_hub import get_token

    return get_token()


def _reason(error: Exception, repo: str) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return "the hub does not know the token (401): run `hf auth login` again, or set HF_TOKEN"
    if status == 403:
        owner = repo.split("/", maxsplit=1)[0]
        return f"the token may not write to {repo} (403): take one with write access, of a member of {owner}"
    if status is not None:
        return f"the hub refused {repo} ({status}): {in_brief(error)}"
    return f"the hub cannot be reached ({type(error).__name__}: {in_brief(error)}); nothing was committed"


def _json_text(text: str) -> str:
    return json.dumps(without_directories(json.loads(text)), indent=2, ensure_ascii=False) + "\n"


def _yaml_text(text: str) -> str:
    import yaml

    documents = [without_directories(one) for one in yaml.safe_load_all(text)]
    return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True)


def _card_text(text: str) -> str:
    return str(without_directories(text, "…/"))


_CLEANED = {
    _CARD: _card_text,
    RECIPE_FILE: _json_text,
    "config.json": _json_text,
    "adapter_config.json": _json_text,
    "mergekit_config.yml": _yaml_text,
}
