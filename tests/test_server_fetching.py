"""Pictures by URL: only from named hosts, only public addresses, every redirect checked, size and time bounded."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raw_server import RawServer
from served import png
from vretrver.server.faults import Refused
from vretrver.server.fetching import Fetch, is_public

PICTURE = png()
OK = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE


def port_of(server: RawServer) -> int:
    return int(server.url.split(":")[2].split("/")[0])


class Names:
    """A resolver that counts; every name is this machine, which a test may call public."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses or ("127.0.0.1",)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.addresses


def fetch(server: RawServer, names: Names | None = None, most: int = 10_000, seconds: float = 5.0) -> Fetch:
    port = port_of(server)
    allowed = [f"images.example:{port}", f"other.example:{port}"]
    return Fetch(allowed, most, seconds, resolve=names or Names(), public=lambda address: address == "127.0.0.1")


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(Refused) as caught:
        call()
    assert caught.value.status == 422
    return caught.value.message


def test_a_picture_of_a_named_host_comes_from_the_address_that_was_checked() -> None:
    with RawServer(OK) as server:
        names = Names()
        assert fetch(server, names)(f"http://images.example:{port_of(server)}/a.png?x=1") == PICTURE
        assert names.asked == ["images.example"]  # once
        (request,) = server.requests
        assert request.startswith(b"GET /a.png?x=1 HTTP/1.1\r\n")
        assert f"host: images.example:{port_of(server)}".encode() in request.lower()
        assert b"authorization" not in request.lower() and b"cookie" not in request.lower()


@pytest.mark.parametrize(
    "url",
    [
        "http://elsewhere.example/a.png", "http://127.0.0.1/a.png", "https://images.example.evil.example/",
        "http://images.example/a.png", "http://images.example:1/a.png", "http://user@images.example:{port}/a.png",
        "http://images.example:{port}@evil.example/", "ftp://images.example:{port}/a.png", "http://[::1/", "http://",
        "http://images.example:99999/", "http://images.example:{port}/a b", "http://images.example:{port}/\r\nX: y",
        "http://imäges.example/",
    ],
)  # fmt: skip
def test_no_other_url_is_asked(url: str) -> None:
    with RawServer(OK) as server:
        names = Names()
        refusal(lambda: fetch(server, names)(url.replace("{port}", str(port_of(server)))))
        assert server.requests == [] and names.asked == []


def test_a_host_inside_is_not_asked_though_its_name_is_allowed() -> None:
    with RawServer(OK) as server:
        port = port_of(server)
        for addresses in (["127.0.0.1"], ["93.184.216.34", "10.0.0.1"]):
            inside = Fetch([f"images.example:{port}"], 10_000, resolve=Names(*addresses))
            assert "public" in refusal(lambda inside=inside: inside(f"http://images.example:{port}/a.png"))  # type: ignore[misc]
        assert server.requests == []


def test_redirects_are_followed_by_hand_and_checked_each() -> None:
    def redirect(to: str) -> bytes:
        return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()

    def answer(line: socket.socket, url: list[str]) -> None:
        line.sendall(redirect(url.pop(0)) if url else OK)

    left: list[str] = []
    with RawServer(lambda line: answer(line, left)) as server:
        port = port_of(server)
        start = f"http://images.example:{port}/"
        left[:] = ["/b.png", f"http://other.example:{port}/c.png"]
        names = Names()
        assert fetch(server, names)(start) == PICTURE
        assert names.asked == ["images.example", "images.example", "other.example"]
        for evil in ("http://127.0.0.1/", f"http://evil.example:{port}/", "file:///etc/passwd"):
            left[:] = [evil]
            refusal(lambda: fetch(server)(start))
        left[:] = ["/again"] * 9
        assert "redirects more than 3" in refusal(lambda: fetch(server)(start))


def test_size_time_and_status_are_bounded() -> None:
    def trickle(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        for _ in range(100):
            line.sendall(b"a")
            time.sleep(0.05)

    def url(server: RawServer) -> str:
        return f"http://images.example:{port_of(server)}/"

    with RawServer(OK) as server:
        assert "over 50 bytes" in refusal(lambda: fetch(server, most=50)(url(server)))
    with RawServer(trickle) as server:
        started = time.monotonic()
        refusal(lambda: fetch(server, seconds=0.4)(url(server)))
        assert time.monotonic() - started < 3
    with RawServer(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") as server:
        assert "answers 404" in refusal(lambda: fetch(server)(url(server)))
    with RawServer(b"nonsense") as server:
        assert "cannot be reached" in refusal(lambda: fetch(server)(url(server)))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of images.example that signs itself."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -addext subjectAltName=DNS:images.example"
    subprocess.run([*command.split(), "-keyout", file, "-out", f"{file}.crt"], check=True, capture_output=True)
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


def test_https_holds_the_certificate_against_the_name_that_was_asked_for(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    trust = ssl.create_default_context(cafile=str(certificate))

    def serve(listener: socket.socket) -> None:
        for _ in range(3):
            line = listener.accept()[0]
            with suppress(OSError), context.wrap_socket(line, server_side=True) as encrypted:
                encrypted.recv(65536)
                encrypted.sendall(OK)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        allowed = [f"images.example:{port}", f"other.example:{port}"]
        everywhere = {"resolve": Names(), "public": lambda _address: True}
        trusting = Fetch(allowed, 10_000, 5, trust=trust, **everywhere)  # type: ignore[arg-type]
        assert trusting(f"https://images.example:{port}/a.png") == PICTURE
        refusal(lambda: trusting(f"https://other.example:{port}/a.png"))  # another name
        refusal(lambda: Fetch(allowed, 10_000, 5, **everywhere)(f"https://images.example:{port}/"))  # type: ignore[arg-type]
        thread.join(10)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1",
        "::ffff:8.8.8.8", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "name", "",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_addresses_that_are(address: str) -> None:
    assert is_public(address)


@given(st.text(max_size=60))
def test_no_text_is_more_than_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"https://{text}/a"):
        refusal(lambda url=url: Fetch(["images.example"], 100, resolve=Names())(url))  # type: ignore[misc]
