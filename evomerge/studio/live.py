"""News while searches run: server-sent events that name the runs in which something was committed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from evomerge.studio.runs import Runs, is_live

EVERY_S = 1.0
_BEATS = 15  # looks without news before a line that keeps the connection open


async def news(request: Request, runs: Runs) -> AsyncIterator[str]:
    """Yield an event for each run that changed, until the page is gone."""
    known = await run_in_threadpool(_states, runs)
    yield "retry: 2000\n\n"
    quiet = 0
    while not await request.is_disconnected():
        await asyncio.sleep(EVERY_S)
        now = await run_in_threadpool(_states, runs)
        changed = [key for key in now if known.get(key) != now[key]] + [key for key in known if key not in now]
        known, quiet = now, 0 if changed else quiet + 1
        for key in changed:
            version, live = now.get(key, ("", False))
            yield f"event: changed\ndata: {json.dumps({'run': key, 'version': version, 'live': live})}\n\n"
        if quiet >= _BEATS:
            quiet = 0
            yield ": nothing new\n\n"


def _states(runs: Runs) -> dict[str, tuple[str, bool]]:
    return {shelf.key: (shelf.version, is_live(shelf.directory)) for shelf in runs.shelves()}
