"""Pictures from elsewhere: fetched only from hosts that the operator named, and only where those are public.

A name is resolved once and the connection goes to the address that was checked, so that it cannot point inside a
moment later. Redirects are followed by hand, each as strictly as the first URL. Size and time are bounded.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from urllib.parse import urljoin, urlsplit

from vretrver.server.faults import Refused

Resolve = Callable[[str, int], Sequence[str]]
_REDIRECTS = 3
_PORTS = {"http": 80, "https": 443}
_TRANSLATED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


def resolved(host: str, port: int) -> list[str]:
    """All addresses of a host, as this machine sees them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


def is_public(address: str) -> bool:
    """Whether an address is on the internet proper: not this machine, its network, or a way around either."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is not None or any(found in network for network in _TRANSLATED):
            return False
    return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)


class Fetch:
    """Fetches pictures by URL.

    Args:
        allowed: hosts, `HOST` for the scheme's own port or `HOST:PORT`.
        most: bytes of a picture.
        seconds: for one picture, redirects included.
        resolve, public: who says where a host is, and which addresses may be asked.
        trust: whose certificates count for https; the system's when None.
    """

    def __init__(
        self,
        allowed: Sequence[str],
        most: int,
        seconds: float = 10.0,
        *,
        resolve: Resolve = resolved,
        public: Callable[[str], bool] = is_public,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = {name.lower() for name in allowed}
        self._most, self._seconds = most, seconds
        self._resolve, self._public, self._trust = resolve, public, trust

    def __call__(self, url: str) -> bytes:
        """The bytes behind a URL.

        Raises:
            Refused: its host is not allowed or not public, or it does not answer with so many bytes in time.
        """
        deadline = time.monotonic() + self._seconds
        for _ in range(_REDIRECTS + 1):
            found = self._once(url, deadline)
            if isinstance(found, bytes):
                return found
            url = urljoin(url, found)
        raise _failed(f"it redirects more than {_REDIRECTS} times")

    def _once(self, url: str, deadline: float) -> bytes | str:
        """The body, or where it redirects to."""
        scheme, host, port, target = self._checked(url)
        address = self._address(host, port)
        named = host if port == _PORTS[scheme] else f"{host}:{port}"
        headers = {"Host": named, "User-Agent": "vretrver", "Accept": "image/*", "Accept-Encoding": "identity"}
        left = max(0.1, deadline - time.monotonic())
        try:
            with closing(socket.create_connection((address, port), timeout=min(5.0, left))) as line, _ended(line, left):
                connection = HTTPConnection(host, port)
                connection.sock = line if scheme == "http" else self._encrypted(line, host)
                with closing(connection):
                    connection.request("GET", target, headers=headers)
                    found = self._body(connection.getresponse())
        except (HTTPException, OSError) as fault:
            if time.monotonic() >= deadline:
                raise _failed(f"it takes longer than {self._seconds:g} s") from None
            raise _failed(f"it cannot be reached ({type(fault).__name__})") from None
        if time.monotonic() >= deadline:  # a body of unknown length looks whole when it is cut off
            raise _failed(f"it takes longer than {self._seconds:g} s")
        return found

    def _body(self, answer: HTTPResponse) -> bytes | str:
        location = answer.headers.get("Location")
        if answer.status in (301, 302, 303, 307, 308) and location:
            return location
        if answer.status != 200:
            raise _failed(f"it answers {answer.status}")
        announced = answer.length
        data = answer.read(self._most + 1)
        if announced is not None and len(data) < min(announced, self._most + 1):
            raise IncompleteRead(data)
        if len(data) > self._most:
            raise _failed(f"it is over {self._most} bytes")
        return data

    def _encrypted(self, line: socket.socket, host: str) -> ssl.SSLSocket:
        """TLS to the name that was asked for, whatever the address."""
        trust = ssl.create_default_context() if self._trust is None else self._trust
        return trust.wrap_socket(line, server_hostname=host)

    def _checked(self, url: str) -> tuple[str, str, int, str]:
        """Scheme, host, port and request target of a URL that may be asked."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise _failed("it is no URL") from None
        if parts.scheme not in _PORTS or not host or not url.isascii() or not url.isprintable() or " " in url:
            raise _failed("it is no http or https URL")
        named = host if port in (None, _PORTS[parts.scheme]) else f"{host}:{port}"
        if parts.username is not None or parts.password is not None or named not in self._allowed:
            raise Refused(
                422,
                "url_not_allowed",
                f"pictures are not fetched from {named[:100]!r}; send the picture itself as a data URL, or start the "
                "server with --fetch-from HOST",
            )
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return parts.scheme, host, port or _PORTS[parts.scheme], target

    def _address(self, host: str, port: int) -> str:
        try:
            found = list(self._resolve(host, port))
        except OSError:
            found = []
        if not found:
            raise _failed("its host is not known")
        # All of them: whoever mixes an inner address among public ones is up to something.
        if not all(self._public(address) for address in found):
            raise _failed("its host is not on the public internet")
        return found[0]


@contextmanager
def _ended(line: socket.socket, seconds: float) -> Iterator[None]:
    """Shut a connection down when its time is over: a timeout bounds one silence, and a server may trickle."""

    def end() -> None:
        with suppress(OSError):
            socket.socket.shutdown(line, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _failed(why: str) -> Refused:
    return Refused(422, "fetch_failed", f"the picture's URL cannot be used: {why}")
