"""How much may come: the size of a request, the time it may take to arrive, and what all together may hold.

Counted as it arrives, whatever Content-Length says.
"""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vretrver.server.faults import Refused, answer, busy
from vretrver.server.settings import Settings


class Bodies:
    """Counts what requests bring, and stops the one that brings too much or too slowly."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        length = Headers(scope=scope).get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._settings.body_bytes:
            return await answer(self._large())(scope, receive, send)
        deadline = asyncio.get_running_loop().time() + self._settings.body_seconds
        mine, ended, started = 0, False, False

        async def counted() -> Message:
            nonlocal mine, ended
            if ended:
                return await receive()  # waits for the client to leave
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                seconds = self._settings.body_seconds
                raise Refused(408, "too_slow", f"the request did not arrive within {seconds:g} s; try again") from None
            size = len(message.get("body", b""))
            mine += size
            self._held += size
            ended = not message.get("more_body", False)
            if mine > self._settings.body_bytes:
                raise self._large()
            if self._held > self._settings.held_bytes:
                raise busy(5, "too many large requests at once")
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            return await self._app(scope, counted, watched)
        except Refused as fault:  # where nothing inside took it
            if started:
                raise
            return await answer(fault)(scope, receive, send)
        finally:
            self._held -= mine

    def _large(self) -> Refused:
        most = self._settings.body_bytes
        return Refused(413, "too_large", f"the request is over {most} bytes; send smaller or fewer pictures")
