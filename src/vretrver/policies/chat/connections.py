"""Connections that can be cut off: an exchange's time ends it wherever it stands.

A socket's timeout bounds one silence, not an exchange: a server that sends a byte a second would hold a request for
ever. So a timer shuts the socket down at the deadline. What is sent and read is `transport`.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from vretrver.policies.chat.address import is_loopback
from vretrver.policies.chat.faults import Fault


class Exchange:
    """The time of one exchange: at its end the socket in use is shut down. A context manager.

    Args:
        seconds: for all of it.
    """

    here = threading.local()

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._late = False
        self._over = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self.cut)
        self._timer.daemon = True

    def __enter__(self) -> Exchange:
        self.here.current = self
        self._timer.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._over = True  # the connection may serve another exchange from here on
        self.here.current = None

    def watch(self, line: socket.socket | None) -> None:
        with self._lock:
            self._socket = line
            if self._late:
                self._shut()

    def in_time(self) -> None:
        """Raises:
        Fault: the exchange was cut off.
        """
        if self._late:
            raise Fault("transport", f"no answer within {self._seconds:.1f} s") from None

    def cut(self) -> None:
        """End it now, unless it is over."""
        with self._lock:
            if not self._over:
                self._late = True
                self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _watch(connection: HTTPConnection) -> None:
    current = getattr(Exchange.here, "current", None)
    if current is not None:
        current.watch(connection.sock)


class _Plain(HTTPConnection):
    """A connection that tells the running exchange which socket it uses."""

    def connect(self) -> None:
        super().connect()
        _watch(self)

    def putrequest(self, *args: Any, **options: Any) -> None:
        _watch(self)  # a connection kept alive does not connect
        super().putrequest(*args, **options)


class _Encrypted(HTTPSConnection):
    """The same over TLS."""

    def connect(self) -> None:
        super().connect()
        _watch(self)

    def putrequest(self, *args: Any, **options: Any) -> None:
        _watch(self)
        super().putrequest(*args, **options)


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class _EncryptedPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Encrypted


def manager(base: str, connections: int) -> urllib3.PoolManager:
    """Connections, through the proxy of the environment if there is one; this machine is never behind a proxy."""
    parts = urlsplit(base)
    proxy = None if is_loopback(base) or proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
    manager = urllib3.PoolManager(maxsize=connections) if proxy is None else _proxied(proxy, connections)
    manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _EncryptedPool}
    return manager


def _proxied(proxy: str, connections: int) -> urllib3.PoolManager:
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    headers = None
    if parts.username:
        headers = urllib3.make_headers(proxy_basic_auth=f"{unquote(parts.username)}:{unquote(parts.password or '')}")
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return urllib3.ProxyManager(plain, maxsize=connections, proxy_headers=headers)
