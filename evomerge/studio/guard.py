"""Who is answered: the right host, no other site's pages, whoever knows the token, and nothing oversized.

A page of another site may send requests to this machine from the user's own browser. It cannot name the studio's host
(a name that is rebound to 127.0.0.1 is refused by `Host`), its requests carry its `Origin`, and what changes something
asks for a header that no form can send.
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evomerge.studio.errors import RequestError

COOKIE = "evomerge-studio"
WRITING = "x-evomerge-studio"
LARGEST_BODY = 64 * 1024
_LONGEST_QUERY = 16 * 1024
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_READING = ("GET", "HEAD")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class Access:
    """Who may look.

    Attributes:
        hosts: names that requests may be for, besides this machine's own loopback names.
        token: what they have to know; empty: nothing, which is for loopback alone.
    """

    hosts: frozenset[str] = field(default_factory=frozenset)
    token: str = ""

    def knows_host(self, header: str) -> bool:
        """Return whether a request was for us: another name may be one that was rebound to this address."""
        name = (urlsplit(f"//{header}").hostname or "") if header else ""
        if name in _LOOPBACK or name in self.hosts:
            return True
        return bool(self.token) and _is_address(name)  # who is there by an address has rebound no name

    def knows_token(self, offered: str) -> bool:
        """Return whether a token is ours, in a time that says nothing of it."""
        return not self.token or hmac.compare_digest(offered.encode(), self.token.encode())


class Guard:
    """Stands before everything else.

    Args:
        app: what answers those who are let through.
        access: who these are.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        with_headers = _adding(send)
        refused = self._refused(scope)
        if refused is not None:
            await refused(scope, receive, with_headers)
            return
        await self._app(scope, _limited(receive), with_headers)

    def _refused(self, scope: Scope) -> Response | None:
        """Return what a request gets instead of an answer; None where it may have one."""
        headers = Headers(scope=scope)
        query = scope.get("query_string", b"")
        if not self._access.knows_host(headers.get("host", "")):
            return _error(
                421, "host: expected the address that the studio printed, found another; --allow-host adds one"
            )
        if not _same_origin(headers):
            return _error(403, "origin: expected a page of the studio itself, found another site's")
        if len(query) > _LONGEST_QUERY or int(headers.get("content-length") or 0) > LARGEST_BODY:
            return _error(413, f"body: expected at most {LARGEST_BODY} bytes, found more")
        if scope["method"] not in _READING and headers.get(WRITING) != "1":
            return _error(403, f"{WRITING}: expected this header with what changes something, found none")
        return self._unknown(scope, headers, query)

    def _unknown(self, scope: Scope, headers: Headers, query: bytes) -> Response | None:
        if not self._access.token:
            return None
        given = dict(parse_qsl(query.decode("latin-1")))
        if scope["path"] == "/" and "token" in given and self._access.knows_token(given.pop("token")):
            left = urlencode(given)
            answer = RedirectResponse("/" + (f"?{left}" if left else ""), 303)
            answer.set_cookie(COOKIE, self._access.token, httponly=True, samesite="strict", path="/")
            return answer
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if self._access.knows_token(_cookie(headers)) or self._access.knows_token(bearer):
            return None
        return _error(401, "token: expected the address with the token that the studio printed, found none or another")


def _same_origin(headers: Headers) -> bool:
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def _cookie(headers: Headers) -> str:
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)


def _adding(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending


def _limited(receive: Receive) -> Receive:
    taken = 0

    async def receiving() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > LARGEST_BODY:
            raise RequestError(413, "body: it is too large")
        return message

    return receiving
