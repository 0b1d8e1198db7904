"""What a studio with `--control` may do: write campaigns, and start the commands that a person would type.

Everything is below one directory: campaign files, runs, exports. An argument is checked before it stands in a command,
and no shell reads it.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evomerge.campaign.run_directory import RunDirectory
from evomerge.config import ConfigError
from evomerge.config.campaign_file import load_campaign
from evomerge.config.edits import edited, values_of
from evomerge.config.template import template
from evomerge.studio.errors import RequestError
from evomerge.studio.jobs import Job, Jobs
from evomerge.studio.runs import Runs, is_live
from evomerge.whole_file import prepared_file

HEADER = "x-evomerge-control"  # brings the token that other sites' pages cannot read
FIELDS = ("name", "base", "parents", "space.operator", "objectives", "budget.evaluations", "workers.count", "seed")
_MOST_FILES, _LARGEST = 200, 48 * 1024
_PICK = re.compile(r"knee|best|winner|\d{1,9}|best:[^\x00-\x1f]{1,100}")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_SUFFIXES = (".yaml", ".yml")
Action = Literal["plan", "start", "resume", "extend", "verify", "export", "push"]
T = TypeVar("T", bound=BaseModel)


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Text(_Given):
    """A campaign as it is written on the page; `set` changes keys of it first."""

    file: str = Field(max_length=300)
    text: str = Field(max_length=_LARGEST)
    set: dict[str, Any] = Field(default_factory=dict)


class Wish(_Given):
    """A command that is asked for."""

    action: Action
    file: str = Field(default="", max_length=300)
    run: str = Field(default="", max_length=100)  # a run's key
    evaluations: int = Field(default=1, ge=1, le=10**6)
    pick: str = Field(default="knee", max_length=120)
    out: str = Field(default="", max_length=300)
    repo: str = Field(default="", max_length=200)
    publish: bool = False  # push: not only say what would be sent


class Control:
    """Writes campaigns and starts commands.

    Args:
        directory: where everything is.
        commands: of `evomerge`, those that there are.
    """

    def __init__(self, directory: Path, commands: frozenset[str]) -> None:
        self.directory = directory.resolve()
        self.jobs = Jobs(self.directory)
        self._commands, self._token = commands, secrets.token_urlsafe(24)

    def checked(self, token: str) -> None:
        """Refuse who does not bring the token that `standing` told."""
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            raise RequestError(403, f"{HEADER}: expected the token of /api/control, found none or another; load again")

    def standing(self) -> dict[str, Any]:
        """Return what the page begins with."""
        return {
            "on": True,
            "token": self._token,
            "directory": self.directory.name,
            "files": self.files(),
            "jobs": self.jobs.shown(),
            "actions": [name for name in get_args(Action) if self._has(name)],
        }

    def files(self) -> list[str]:
        """Return the campaign files, at most three directories down."""
        found: list[str] = []
        for depth in range(4):
            for suffix in _SUFFIXES:
                for file in sorted(self.directory.glob("*/" * depth + f"*{suffix}")):
                    name = file.relative_to(self.directory)
                    hidden = any(part.startswith(".") for part in name.parts)
                    if not hidden and file.is_file() and not (file.parent / "archive.sqlite").exists():
                        found.append(name.as_posix())
        return found[:_MOST_FILES]

    def text(self, file: str) -> str:
        """Return a campaign file; of a new one what `evomerge init` begins with."""
        place = self._campaign(file)
        if not place.exists():
            return template(["./first-model", "./second-model"], "./base-model", name=place.stem)
        if place.stat().st_size > _LARGEST:
            raise RequestError(409, f"{file}: expected at most {_LARGEST} bytes, found more; write it in an editor")
        return place.read_text(encoding="utf-8", errors="replace")

    def look(self, body: bytes) -> dict[str, Any]:
        """Return the text with what was set in it, what the form's fields have, and everything that is wrong."""
        given = parsed(Text, body)
        place, text = self._campaign(given.file), given.text
        try:
            for key, value in given.set.items():
                if key not in FIELDS:
                    raise RequestError(422, f"set: expected some of {', '.join(FIELDS)}, found {key[:80]!r}")
                text = edited(text, key, value)
            fields = values_of(text, FIELDS, place)
            load_campaign(place, text=text)
        except ConfigError as error:
            problems = [{"key": p.key, "line": p.line, "told": str(p)} for p in error.problems]
            return {"text": text, "fields": _fields(text), "problems": problems}
        return {"text": text, "fields": fields, "problems": []}

    def save(self, body: bytes) -> dict[str, Any]:
        """Write a campaign file, right or wrong: what is wrong is told beside it."""
        given = parsed(Text, body)
        place = self._campaign(given.file)
        place.parent.mkdir(parents=True, exist_ok=True)
        prepared_file(place)(given.text)
        return self.look(body) | {"files": self.files()}

    def start(self, body: bytes, runs: Runs) -> Job:
        """Start what is asked for."""
        wish = parsed(Wish, body)
        if not self._has(wish.action):
            raise RequestError(404, f"action: this evomerge has no command for {wish.action}")
        if wish.action in ("plan", "start"):
            return self._of_file(wish)
        place = self._below(str(runs.shelf(wish.run).directory.relative_to(self.directory)))
        arguments = _OF_RUNS[wish.action](wish)
        if wish.action == "export":
            out = self._below(wish.out)
            if out.exists():
                raise RequestError(409, f"out: expected a directory that is not there, found {wish.out!r}")
            arguments += ["--out", self._named(out)]
        command = {"resume": "run", "extend": "run"}.get(wish.action, wish.action)
        writes = wish.action in ("resume", "extend", "verify")
        return self._started(wish.action, [command, self._named(place), *arguments], place if writes else None)

    def _of_file(self, wish: Wish) -> Job:
        file = self._campaign(wish.file)
        if not file.is_file():
            raise RequestError(404, f"file: expected a campaign that was saved, found no {wish.file!r}")
        if wish.action == "plan":
            return self._started("plan", ["plan", self._named(file)], None)
        place = self._below(f"runs/{load_campaign(file).name}")
        arguments = ["run", self._named(file), "--run-dir", self._named(place)]
        return self._started("start", arguments, place)

    def _started(self, action: str, arguments: list[str], place: Path | None) -> Job:
        if place is None:
            return self.jobs.start(action, arguments)
        if is_live(place):
            raise RequestError(
                409, f"{self._named(place)}: expected a run that no process writes to, found one; stop it, or wait"
            )
        if place.is_dir():
            RunDirectory(place).refuse_links()
        return self.jobs.start(action, arguments, writes=self._named(place))

    def _has(self, action: str) -> bool:
        return {"start": "run", "resume": "run", "extend": "run"}.get(action, action) in self._commands

    def _campaign(self, file: str) -> Path:
        place = self._below(file)
        if place.suffix not in _SUFFIXES or (place.parent / "archive.sqlite").exists():
            raise RequestError(422, "file: expected NAME.yaml outside of runs, found another")
        return place

    def _below(self, text: str) -> Path:
        """Return a path below the directory; one that leads out of it, by name or by a link, is refused."""
        parts = PurePosixPath(text).parts
        plain = text.isprintable() and not text.startswith("/") and 0 < len(parts) < 9
        if not plain or "\\" in text or any(part[0] in ".-~" for part in parts):
            raise RequestError(422, "path: expected one below the studio's directory, nothing hidden, as a/b.yaml")
        place = self.directory.joinpath(*parts)
        if not place.resolve().is_relative_to(self.directory):
            raise RequestError(422, "path: expected one below the studio's directory, found a link out of it")
        return place

    def _named(self, place: Path) -> str:
        return place.relative_to(self.directory).as_posix()


def parsed(kind: type[T], body: bytes) -> T:
    """Return a request's body, or refuse it with the first thing that is wrong."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise RequestError(422, f"{where}: {first['msg']}") from error


def _fields(text: str) -> dict[str, object] | None:
    try:
        return values_of(text, FIELDS)
    except ConfigError:
        return None  # no YAML: the form waits


def _pick(wish: Wish) -> list[str]:
    if not _PICK.fullmatch(wish.pick):
        raise RequestError(422, "pick: expected knee, best, best:OBJECTIVE, winner or a candidate's number")
    return ["--pick", wish.pick]


def _repository(wish: Wish) -> list[str]:
    if not _REPOSITORY.fullmatch(wish.repo):
        raise RequestError(422, "repo: expected NAME or OWNER/NAME of the hub, found another")
    return [*_pick(wish), "--repo", wish.repo, *(["--yes"] if wish.publish else [])]


_OF_RUNS: dict[str, Callable[[Wish], list[str]]] = {
    "resume": lambda _: [],
    "extend": lambda wish: ["--evaluations", str(wish.evaluations)],
    "verify": lambda _: [],
    "export": _pick,
    "push": _repository,
}
