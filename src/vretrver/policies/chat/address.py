"""Where a chat endpoint is, which model is meant and whose key opens it: checked once, before anything is sent."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from vretrver.boxes import BoxFamily, is_released
from vretrver.errors import InvalidInput

KEY_VARIABLES = ("VRETRVER_API_KEY", "OPENAI_API_KEY")
EXAMPLE = "chat:http://localhost:8000/v1#V-Retrver/V-Retrver-7B"


class Key:
    """An API key that does not show itself: neither in `repr` or `str`, nor in a pickle."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not re.fullmatch(r"[\x21-\x7e]+", value):
            raise InvalidInput(f"the API key holds blanks or characters that no header can carry; see {_variables()}")
        self._value = value

    def header(self) -> str:
        return f"Bearer {self._value}"

    def redacted(self, text: str) -> str:
        """The text without the key, for what a server says back."""
        return text.replace(self._value, "[key]")

    def __repr__(self) -> str:
        return "Key(...)"

    def __reduce__(self) -> str:
        raise TypeError("an API key is not pickled; the other process reads it from its own environment")


@dataclass(frozen=True, slots=True)
class Address:
    """A server's base URL without a slash at its end, and a model of it. `key` is None where none is sent."""

    base: str
    model: str
    key: Key | None = field(default=None, repr=False)

    def redacted(self, text: str) -> str:
        return text if self.key is None else self.key.redacted(text)


def address(url: str, model: str, environment: Mapping[str, str] = os.environ, allow_insecure: bool = False) -> Address:
    """A checked address.

    Args:
        url: `http://` or `https://`, usually ending in `/v1`; `/chat/completions` is put behind it.
        model: the name by which the server knows the model.
        environment: where the key is looked up: VRETRVER_API_KEY, else OPENAI_API_KEY. A VRETRVER_API_KEY that is set
            and empty means that no key is sent.
        allow_insecure: let a key travel unencrypted to another machine.

    Raises:
        InvalidInput: the URL is none, holds credentials, a query or a fragment; the model is empty; or a key would
            travel unencrypted.
    """
    base = _checked(url)
    if not model or not model.isprintable():
        raise InvalidInput(f"the chat endpoint needs the name of a model behind '#', such as {EXAMPLE}")
    key = api_key(environment)
    if key is not None and not allow_insecure and not base.startswith("https://") and not is_loopback(base):
        raise InvalidInput(
            f"an API key is set and would travel unencrypted to {base}; use https, set VRETRVER_API_KEY to the empty "
            "text to send no key, or allow it with allow_insecure"
        )
    return Address(base, model, key)


def split_name(name: str) -> tuple[str, str]:
    """URL and model of `URL#MODEL`.

    Raises:
        InvalidInput: there is no `#`.
    """
    url, mark, model = name.partition("#")
    if not mark:
        raise InvalidInput(f"a chat endpoint is written URL#MODEL, such as {EXAMPLE}; there is no '#' in {_shown(url)}")
    return url, model


def api_key(environment: Mapping[str, str]) -> Key | None:
    """The key of the environment; None when there is none."""
    for variable in KEY_VARIABLES:
        if variable in environment:
            value = environment[variable].strip()
            return Key(value) if value else None
    return None


def is_loopback(base: str) -> bool:
    """Whether a URL's host is this machine by its name or number."""
    host = urlsplit(base).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def family_of(model: str) -> BoxFamily:
    """The coordinates in which a model writes boxes, by its name: `released` for V-Retrver-7B, `qwen2.5-vl` for other
    Qwen2.5-VL, else `0-1000`, which Qwen2-VL, Qwen3-VL and most hosted models understand."""
    if is_released(model):
        return "released"
    plain = re.sub(r"[^a-z0-9]", "", model.lower())
    return "qwen2.5-vl" if "qwen25vl" in plain else "0-1000"


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no number
    except ValueError:
        raise InvalidInput(f"{_shown(url)} is not a URL; write it like {EXAMPLE}") from None
    if "@" in parts.netloc:
        raise InvalidInput(f"a chat endpoint's URL holds no credentials; put the key into {_variables()}")
    if parts.scheme not in ("http", "https") or not parts.hostname or not re.fullmatch(r"[\x21-\x7e]+", url):
        raise InvalidInput(f"{_shown(url)} is not an http or https URL; write it like {EXAMPLE}")
    if parts.query or parts.fragment:
        raise InvalidInput(f"a chat endpoint's URL has no query and no fragment; write it like {EXAMPLE}")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/").removesuffix("/chat/completions")


def _shown(url: str) -> str:
    """A URL as an error may quote it: what could be a secret in it is left out."""
    host = url.partition("?")[0].rpartition("@")[2]
    return repr(host[:80])


def _variables() -> str:
    return " or ".join(KEY_VARIABLES)
