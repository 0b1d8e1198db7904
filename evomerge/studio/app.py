"""The routes: pages and scripts, documents of runs as JSON, files to take away, notes, and news while searches run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from evomerge.api.run import Run
from evomerge.errors import EvomergeError
from evomerge.results.pages.compare import Side, compare
from evomerge.results.pages.detail import detail
from evomerge.results.pages.front import front
from evomerge.results.pages.overview import overview
from evomerge.results.pages.plain import as_json
from evomerge.results.pages.progress import progress
from evomerge.results.pages.snapshot import Snapshot
from evomerge.results.pages.verdict import verdict
from evomerge.studio.control import Control
from evomerge.studio.control_routes import control_routes
from evomerge.studio.errors import RequestError
from evomerge.studio.guard import Access, Guard
from evomerge.studio.live import news
from evomerge.studio.notes import read_notes, write_note
from evomerge.studio.queries import query_of, side_of, whole_number
from evomerge.studio.runs import Runs, Shelf, is_live
from evomerge.visible import visible_data

_BUILT = {"studio.js": "text/javascript", "studio.css": "text/css", "icon.svg": "image/svg+xml"}
_PAGES: Mapping[str, Callable[[Snapshot], dict[str, Any]]] = {
    "front": front,
    "search": progress,
    "verdict": verdict,
}


def make_app(runs: Runs, access: Access, control: Control | None = None) -> Starlette:
    """Return the studio of some runs, for those who may look; with `control` they may also start commands."""
    routes = _Routes(runs)
    return Starlette(
        routes=[
            Route("/", routes.page),
            Route("/{name}", routes.built),
            Route("/api/runs", routes.runs),
            Route("/api/news", routes.news),
            Route("/api/compare", routes.compare),
            *control_routes(control, runs),
            Route("/api/runs/{run}", routes.overview),
            Route("/api/runs/{run}/candidates", routes.candidates),
            Route("/api/runs/{run}/candidates.csv", routes.csv),
            Route("/api/runs/{run}/candidates.parquet", routes.parquet),
            Route("/api/runs/{run}/candidates/{number}", routes.candidate),
            Route("/api/runs/{run}/notes", routes.notes),
            Route("/api/runs/{run}/notes/{number}", routes.note, methods=["PUT"]),
            Route("/api/runs/{run}/{document}", routes.document),
        ],
        middleware=[Middleware(Guard, access=access), Middleware(GZipMiddleware, minimum_size=2048, compresslevel=4)],
        exception_handlers={
            RequestError: _told,
            EvomergeError: _told,
            HTTPException: _told,
        },
    )


class _Routes:
    """Answers; functions that are not async run in threads."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def page(self, _: Request) -> Response:
        return _file("index.html", "text/html")

    def built(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _BUILT:
            raise RequestError(404, f"address: expected a page of the studio, found {name[:80]!r}")
        return _file(name, _BUILT[name])

    def runs(self, _: Request) -> Response:
        return _json([self._listed(shelf) for shelf in self._runs.shelves()])

    def overview(self, request: Request) -> Response:
        shelf = self._shelf(request)
        opened = self._runs.opened(shelf)
        head = overview(opened.snapshot, live=is_live(shelf.directory), screen=opened.screen)
        return _json(head | {"key": shelf.key, "directory": shelf.shown, "version": opened.version})

    def document(self, request: Request) -> Response:
        name = request.path_params["document"]
        if name not in _PAGES:
            raise RequestError(404, f"document: expected one of {', '.join(_PAGES)}, found another")
        opened = self._runs.opened(self._shelf(request))
        if name not in opened.documents:
            opened.documents[name] = as_json(visible_data(_PAGES[name](opened.snapshot)))
        return Response(opened.documents[name], media_type="application/json")

    def candidates(self, request: Request) -> Response:
        shelf = self._shelf(request)
        opened, starred = self._runs.opened(shelf), _starred(shelf)
        return _json(opened.table.page(query_of(request.query_params, starred)))

    def csv(self, request: Request) -> Response:
        shelf = self._shelf(request)
        text = self._runs.opened(shelf).table.csv(query_of(request.query_params, _starred(shelf)))
        return Response(text, media_type="text/csv", headers=_attached("candidates.csv"))

    def parquet(self, request: Request) -> Response:
        shelf = self._shelf(request)
        try:
            data = self._runs.opened(shelf).table.parquet(query_of(request.query_params, _starred(shelf)))
        except ImportError as error:
            raise RequestError(
                501, "parquet: expected pyarrow, found none; pip install pyarrow, or take CSV"
            ) from error
        return Response(data, media_type="application/vnd.apache.parquet", headers=_attached("candidates.parquet"))

    def candidate(self, request: Request) -> Response:
        shelf = self._shelf(request)
        number = whole_number(request.path_params["number"])
        with Run(shelf.directory).archive() as archive:
            return _json(detail(self._runs.opened(shelf).snapshot, archive, number))

    def compare(self, request: Request) -> Response:
        (a, first), (b, second) = (side_of(request.query_params, name, self._runs) for name in ("a", "b"))
        with Run(a.directory).archive() as one, Run(b.directory).archive() as other:
            left = Side(self._runs.opened(a).snapshot, one, first)
            return _json(compare(left, Side(self._runs.opened(b).snapshot, other, second)))

    def notes(self, request: Request) -> Response:
        return _json(read_notes(self._shelf(request).directory).model_dump())

    async def note(self, request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise RequestError(415, "content-type: expected application/json, found another")
        body, number = await request.body(), whole_number(request.path_params["number"])
        return await run_in_threadpool(self._noted, request, number, body)

    def _noted(self, request: Request, number: int, body: bytes) -> Response:
        shelf = self._shelf(request)
        known = len(self._runs.opened(shelf).snapshot.candidates)
        if number >= known:
            raise RequestError(404, f"candidate: expected a number below {known}, found {number}")
        return _json(write_note(shelf.directory, number, body))

    async def news(self, request: Request) -> Response:
        return StreamingResponse(news(request, self._runs), media_type="text/event-stream")

    def _shelf(self, request: Request) -> Shelf:
        return self._runs.shelf(request.path_params["run"])

    def _listed(self, shelf: Shelf) -> dict[str, Any]:
        told = {"key": shelf.key, "directory": shelf.shown, "version": shelf.version, "live": is_live(shelf.directory)}
        run = Run(shelf.directory)
        try:
            return told | {"name": run.name, "asked": run.n_candidates, "ending": run.ending}
        except EvomergeError as error:
            return told | {"name": shelf.directory.name, "asked": 0, "ending": None, "error": str(error)}


def _starred(shelf: Shelf) -> frozenset[int]:
    return frozenset(number for number, note in read_notes(shelf.directory).notes.items() if note.star)


def _file(name: str, kind: str) -> Response:
    found = files("evomerge.results.pages") / "built" / name
    return Response(found.read_bytes(), media_type=kind)


def _json(document: Any) -> Response:
    return Response(as_json(visible_data(document)), media_type="application/json")


def _attached(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def _told(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        status, message = error.status_code, error.detail
    else:
        status, message = error.status if isinstance(error, RequestError) else 409, str(error)
    answer = _json({"error": message})
    answer.status_code = status
    return answer
