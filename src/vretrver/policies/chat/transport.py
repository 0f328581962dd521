"""One HTTP exchange with the server: bounded in time and bytes, never redirected, every failure a `Fault`.

The connections, and how an exchange that takes too long is cut off, are `connections`.
"""

from __future__ import annotations

import email.utils
import http.client
import json
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import urllib3

import vretrver
from vretrver.policies.chat.address import Address
from vretrver.policies.chat.connections import Exchange, manager
from vretrver.policies.chat.faults import Fault, one_line
from vretrver.policies.chat.retrying import Clock, Limits

MAX_BODY = 8 * 2**20  # bytes of one response: a completion of 12k tokens has about 0.1 MB
MAX_REASON = 2000  # bytes of an error's body that are read for its cause

_BROKEN = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response of status 200."""

    body: bytes
    headers: Mapping[str, str]


class Transport:
    """Connections to one server, kept alive; at most `limits.concurrency` of them."""

    def __init__(self, address: Address, limits: Limits, clock: Clock) -> None:
        self._address, self._limits, self._clock = address, limits, clock
        self._room = threading.BoundedSemaphore(limits.concurrency)
        self._running: set[Exchange] = set()
        self._manager = manager(address.base, limits.concurrency)
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # a compressed answer could unfold to any size
            "User-Agent": f"vretrver/{vretrver.__version__}",
        }

    def post(self, path: str, body: bytes, seconds: float) -> Reply:
        """Send JSON to `path` below the base URL.

        Args:
            seconds: for all of it.

        Raises:
            Fault: anything but a whole response of status 200.
        """
        return self._exchange("POST", path, body, seconds)

    def get(self, path: str, seconds: float) -> Reply:
        """As `post`, without a body."""
        return self._exchange("GET", path, None, seconds)

    def abort(self) -> None:
        """End every running exchange now."""
        for exchange in tuple(self._running):
            exchange.cut()

    def close(self) -> None:
        """Close the idle connections."""
        self._manager.clear()

    def _exchange(self, method: str, path: str, body: bytes | None, seconds: float) -> Reply:
        if seconds <= 0 or not self._room.acquire(timeout=seconds):
            raise Fault("transport", "the deadline passed before the request could be sent")
        exchange = Exchange(seconds)
        self._running.add(exchange)
        try:
            with exchange:
                reply = self._answer(method, path, body, min(seconds, self._limits.read))
            exchange.in_time()  # cut off in its headers, a response looks like a whole one
            return reply
        except Fault:
            exchange.in_time()
            raise
        except _BROKEN as broken:
            exchange.in_time()
            if isinstance(getattr(broken, "reason", broken), urllib3.exceptions.SSLError):
                raise Fault("refused", self._address.redacted(_why(broken))) from None  # a certificate does not heal
            raise Fault("transport", self._address.redacted(_why(broken))) from None
        finally:
            self._running.discard(exchange)
            self._room.release()

    def _answer(self, method: str, path: str, body: bytes | None, read: float) -> Reply:
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._address.key is not None:
            headers["Authorization"] = self._address.key.header()
        response = self._manager.urlopen(
            method,
            self._address.base + path,
            body=body,
            headers=headers,
            timeout=urllib3.Timeout(connect=min(self._limits.connect, read), read=read),
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        whole = False
        try:
            reply = self._read(response)
            whole = True
            return reply
        finally:
            if not whole:
                response.close()  # what is left in the pipe must not begin the next answer
            response.release_conn()

    def _read(self, response: Any) -> Reply:
        if response.status == 200:
            content = b"".join(_chunks(response, MAX_BODY))
            return Reply(content, {name.lower(): value for name, value in response.headers.items()})
        raise self._refusal(response)

    def _refusal(self, response: Any) -> Fault:
        status = response.status
        said = b""
        with suppress(*_BROKEN, Fault):
            said = response.read(MAX_REASON)
        cause = self._address.redacted(_reason(said))
        message = f"HTTP {status}{f': {cause}' if cause else ''}"
        if status in (429, 503, 529):
            return Fault("busy", message, self._retry_after(response.headers))
        if status in (408, 425, 500, 502, 504) or status > 504:
            return Fault("server", message, self._retry_after(response.headers))
        if 300 <= status < 400:
            return Fault("refused", f"HTTP {status}: the server redirects, which is not followed")
        return Fault("refused", message)

    def _retry_after(self, headers: Mapping[str, str]) -> float | None:
        """Seconds of a Retry-After, a number or a date (RFC 9110, 10.2.3); None when there is no usable one."""
        value = (headers.get("Retry-After") or "").strip()
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
            return float(value)
        at = _instant(value)
        if at is None:
            return None
        # Against the server's own clock where it tells it: the two may differ by more than the wait.
        now = _instant((headers.get("Date") or "").strip())
        return max(0.0, at - (self._clock.time() if now is None else now))


def _chunks(response: Any, most: int) -> list[bytes]:
    chunks: list[bytes] = []
    size = 0
    while chunk := response.read1(2**16):
        chunks.append(chunk)
        size += len(chunk)
        if size > most:
            raise Fault("garbled", f"the answer is longer than {most} bytes")
    return chunks


def _reason(said: bytes) -> str:
    """The cause in an error's body: the text behind "message", where it is JSON as usual, else its beginning."""
    text = said.decode("utf-8", "replace")
    found = re.search(r'"(?:message|detail|error)"\s*:\s*"((?:[^"\\]|\\.){1,400})', text)
    if found:
        with suppress(ValueError):
            return one_line(json.loads(f'"{found[1]}"'))
    return one_line(text)


def _why(broken: BaseException) -> str:
    """One line without the addresses of objects that urllib3's messages carry."""
    inner = [broken, getattr(broken, "reason", None), *broken.args]
    cause = [one for one in inner if isinstance(one, Exception)][-1]
    text = re.sub(r"^(?:<[^<>]*>|_?\w+\([^()]*\)): ?", "", str(cause))
    return one_line(f"{type(cause).__name__}: {text}")


def _instant(value: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
