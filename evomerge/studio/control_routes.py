"""The routes of a studio with `--control`; without it they say so and do nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from evomerge.results.pages.plain import as_json
from evomerge.studio.control import HEADER, Control
from evomerge.studio.errors import RequestError
from evomerge.studio.runs import Runs
from evomerge.visible import visible_data


def control_routes(control: Control | None, runs: Runs) -> list[Route]:
    """Return the routes below /api/control."""
    if control is None:
        return [Route("/api/control", lambda _: _json({"on": False}))]
    routes = _Routes(control, runs)
    return [
        Route("/api/control", routes.standing),
        Route("/api/control/campaign", routes.campaign),
        Route("/api/control/look", routes.look, methods=["POST"]),
        Route("/api/control/campaign", routes.save, methods=["PUT"]),
        Route("/api/control/jobs", routes.start, methods=["POST"]),
        Route("/api/control/jobs/{job}", routes.job),
        Route("/api/control/jobs/{job}/stop", routes.stop, methods=["POST"]),
    ]


class _Routes:
    def __init__(self, control: Control, runs: Runs) -> None:
        self._control, self._runs = control, runs

    def standing(self, _: Request) -> Response:
        return _json(self._control.standing())

    def campaign(self, request: Request) -> Response:
        # A text to edit comes back as it is: what cannot be shown would be lost by making it visible.
        return Response(as_json({"text": self._control.text(request.query_params.get("file", ""))}), **_JSON)

    async def look(self, request: Request) -> Response:
        return await self._done(request, lambda body: Response(as_json(self._control.look(body)), **_JSON))

    async def save(self, request: Request) -> Response:
        return await self._done(request, lambda body: Response(as_json(self._control.save(body)), **_JSON))

    async def start(self, request: Request) -> Response:
        jobs = self._control.jobs
        return await self._done(request, lambda body: _json(jobs.told(self._control.start(body, self._runs))))

    def job(self, request: Request) -> Response:
        jobs = self._control.jobs
        job = jobs.job(request.path_params["job"])
        return _json(jobs.told(job) | {"output": jobs.output(job)})

    async def stop(self, request: Request) -> Response:
        def stopped(_: bytes) -> Response:
            job = self._control.jobs.job(request.path_params["job"])
            self._control.jobs.stop(job)
            return _json(self._control.jobs.told(job))

        return await self._done(request, stopped)

    async def _done(self, request: Request, work: Callable[[bytes], Response]) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise RequestError(415, "content-type: expected application/json, found another")
        self._control.checked(request.headers.get(HEADER, ""))
        return await run_in_threadpool(work, await request.body())


_JSON: dict[str, Any] = {"media_type": "application/json"}


def _json(document: Any) -> Response:
    return Response(as_json(visible_data(document)), **_JSON)
