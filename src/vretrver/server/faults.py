"""What goes wrong, as one JSON shape: `{"error": {"code", "message", "param"}}`.

The message says what came, what is allowed and what to do. Faults that are bugs say nothing of the inside; the log
does, under the number that the client is told.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from vretrver.errors import (
    ImageError,
    IndexMismatch,
    InvalidInput,
    MissingExtra,
    MissingPath,
    RecordError,
    StorageError,
)

log = logging.getLogger("vretrver.server")
_FIELD = re.compile(r"(?!(?:str|int|bool|float|none)$)[a-z_]+")  # shapes are named `ContentItem`, `list[...]`, `str`


class Refused(Exception):
    """A request that is not answered.

    Args:
        status: HTTP status.
        code: the kind of fault, for programs.
        message: for people.
        param: the part of the request that is meant, such as `documents.3.image`.
        headers: for the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param = status, code, message, param
        self.headers = dict(headers or {})


def busy(seconds: float, what: str = "the queue is full") -> Refused:
    """429: come back later."""
    wait = max(1, min(60, round(seconds)))
    return Refused(429, "busy", f"{what}; ask again in {wait} s", headers={"Retry-After": str(wait)})


def late(seconds: float) -> Refused:
    """503: the time of a request is over."""
    message = f"no answer within {seconds:g} s; ask for fewer candidates or give a smaller budget"
    return Refused(503, "timeout", message, headers={"Retry-After": "5"})


def answer(fault: Refused) -> JSONResponse:
    """The response for a fault."""
    error = {"code": fault.code, "message": fault.message, "param": fault.param}
    return JSONResponse({"error": error}, fault.status, fault.headers)


def refused(fault: Exception) -> Refused:  # noqa: PLR0911  # a table of kinds
    """What an exception means for a client."""
    match fault:
        case Refused():
            return fault
        case ImageError():
            return Refused(422, "bad_image", str(fault))
        case RecordError():
            return Refused(503, "storage", "a file of the server does not parse; the server's log says which")
        case InvalidInput():
            return Refused(422, "invalid_request", str(fault))
        case MissingPath():
            return Refused(404, "gone", "the picture's file is no longer there; index its folder again")
        case StorageError():
            return Refused(503, "storage", "the index cannot be written now; try again", headers={"Retry-After": "5"})
        case IndexMismatch() | MissingExtra():
            return Refused(503, "index", "the index cannot be read now; the server's log says why")
    return _bug(fault)


def _bug(fault: Exception) -> Refused:
    number = secrets.token_hex(4)
    log.error("fault %s", number, exc_info=fault)
    return Refused(500, "internal", f"something failed inside; the server's log has it as fault {number}")


def install(app: FastAPI) -> None:
    """Answer every exception of the app in this shape."""

    def handle(_request: Request, fault: Exception) -> JSONResponse:
        if isinstance(fault, StorageError | IndexMismatch | MissingExtra | RecordError):
            log.warning("%s: %s", type(fault).__name__, fault)
        return answer(refused(fault))

    def invalid(_request: Request, fault: Exception) -> JSONResponse:
        assert isinstance(fault, RequestValidationError)
        return answer(misread([error | {"loc": error["loc"][1:]} for error in fault.errors()]))

    def http(_request: Request, fault: Exception) -> JSONResponse:
        assert isinstance(fault, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(fault.status_code, "invalid_request")
        return answer(Refused(fault.status_code, code, str(fault.detail), headers=fault.headers))

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, handle)
    for kind in (Refused, InvalidInput, MissingPath, StorageError, IndexMismatch, MissingExtra):
        app.add_exception_handler(kind, handle)


def misread(errors: Any) -> Refused:
    """422 for what a schema refused; names the first fault.

    Where several shapes are allowed, pydantic tells one fault for each, with the shape's name inside the place; here
    they are told together at the place itself.
    """
    places = [_place(error["loc"]) for error in errors]
    param = places[0][0]
    said = [_said(error, rest) for error, (place, rest) in zip(errors, places, strict=True) if place == param]
    came = repr(errors[0].get("input"))
    came = came if len(came) <= 80 else came[:77] + "..."
    came = came.encode("utf-8", "backslashreplace").decode()
    message = f"{param or 'the request'}: {' or: '.join(dict.fromkeys(said))}; got {came}"
    return Refused(422, "invalid_request", message, param or None)


def _place(loc: Sequence[int | str]) -> tuple[str, str]:
    """Where an error is, up to where shapes part; and the rest, without the shapes' names."""
    parts = [(str(part), isinstance(part, int) or bool(_FIELD.fullmatch(part))) for part in loc]
    whole = next((at for at, (_part, is_place) in enumerate(parts) if not is_place), len(parts))
    rest = [part for part, is_place in parts[whole:] if is_place]
    return ".".join(part for part, _is_place in parts[:whole]), ".".join(rest)


def _said(error: Mapping[str, Any], rest: str) -> str:
    message = "there is no word in it" if error["type"] == "string_pattern_mismatch" else error["msg"]
    return f"{rest}: {message}" if rest else str(message)


def validated(kind: Any, values: Any) -> Any:
    """`values` as a schema's model.

    Raises:
        Refused: they are not.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as fault:
        raise misread(fault.errors(include_url=False)) from None
