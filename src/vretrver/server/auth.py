"""Who may ask: the Host and Origin allow-lists, the bearer token, and what every answer forbids a browser.

Host and Origin keep pages elsewhere out, which reach this machine through the user's own browser: by a name that
suddenly points here (DNS rebinding) or by a form that posts here (CSRF). The token keeps everybody else out.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vretrver.server.faults import Refused, answer
from vretrver.server.settings import TOKEN_VARIABLE, Settings

OPEN = ("/", "/health", "/docs", "/openapi.json", "/favicon.ico")
"""What is shown without a token: pages without data."""
ASSETS = "/static/"
COOKIE = "vretrver_session"
PROTECTION = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Doors:
    """Refuses strange hosts and origins, and gives every answer its protection; outermost of all."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in PROTECTION.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(Headers(scope=scope))
        except Refused as fault:
            return await answer(fault)(scope, receive, protected)
        return await self._app(scope, receive, protected)

    def _check(self, headers: Headers) -> None:
        given = headers.getlist("host")
        host = given[0] if len(given) == 1 else ""
        name = _name(f"//{host}")
        if name is None or not ("*" in self._settings.hosts or name in self._settings.hosts):
            raise Refused(
                403,
                "host_not_allowed",
                f"the host {name or host!r} is not one of this server's ({', '.join(self._settings.hosts)}); use one "
                "of them, or start it with --allow-host",
            )
        for origin in headers.getlist("origin"):
            scheme, _sign, place = origin.lower().partition("://")
            same = scheme in ("http", "https") and place == host.lower()
            if not same and origin not in self._settings.origins:
                raise Refused(
                    403,
                    "origin_not_allowed",
                    f"pages of {origin[:200]!r} may not call this server; start it with --allow-origin to let them",
                )


class Bearer:
    """Refuses whoever sends neither the token nor the cookie made of it; lets all pass where there is none."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._token = None if settings.token is None else settings.token.encode()
        self._cookie = cookie_for(settings.token or "").encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._may(scope):
            return await self._app(scope, receive, send)
        fault = Refused(
            401,
            "unauthorized",
            f"this server asks for a token; send it as: Authorization: Bearer, then the value of {TOKEN_VARIABLE}",
            headers={"WWW-Authenticate": 'Bearer realm="vretrver"'},
        )
        return await answer(fault)(scope, receive, send)

    def _may(self, scope: Scope) -> bool:
        path = scope["path"]
        if self._token is None or path in OPEN or path.startswith(ASSETS):
            return True
        headers = Headers(scope=scope)
        cookies = cookie_parser("; ".join(headers.getlist("cookie")))
        if hmac.compare_digest(cookies.get(COOKIE, "").encode(), self._cookie):
            return True
        given = headers.getlist("authorization")
        kind, _blank, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        sent = token.strip().encode("latin-1", "replace")
        return kind.lower() == "bearer" and hmac.compare_digest(sent, self._token)


def cookie_for(token: str) -> str:
    """What a browser shows instead of the token, which only who has the token can make.

    The cookie is `HttpOnly` and `SameSite=Strict`: no script reads it, and no page elsewhere sends it.
    """
    return hmac.digest(token.encode(), b"vretrver session", "sha256").hex()


def _name(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for a port that is none
    except ValueError:
        return None
    return None if parts.username or parts.path else parts.hostname
