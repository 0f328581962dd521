"""One self-contained page out of a trace file: html, css, js and the traces in a single file, no network.

Everything in a trace is untrusted. It enters the page as JSON in a block that is never run, with every
character escaped that could end the block; the script writes it with `textContent` only; the policy in
the page's head lets nothing run or load but this script, this style and `data:` pictures.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Mapping
from importlib.resources import files
from os import PathLike
from typing import Any

from vretrver.errors import RecordError
from vretrver.viewer.pictures import pictures_of
from vretrver.viewer.trace_file import records_of, replace_file

SCRIPTS = ("dom.js", "model.js", "pictures.js", "order.js", "looks.js", "results.js", "page.js")
MAX_PAGE_BYTES = 512 * 2**20  # browsers refuse longer strings

_MARK = re.compile(r"\{\{(\w+)\}\}")
_DATA_URL = re.compile(r"data:image/jpeg;base64,[A-Za-z0-9+/=]*\Z")


def render(
    traces_path: str | PathLike[str] | None,
    out_html: str | PathLike[str],
    title: str | None = None,
    *,
    pictures: bool = False,
) -> None:
    """Write the page of a trace file, or with None the empty page that opens trace files itself.

    Args:
        traces_path: a trace file, as `write_traces` writes it.
        out_html: where the page goes; replaced once it is complete.
        title: the page's title; the trace file's name by default.
        pictures: for lines without thumbnails, such as an evaluation's, open the originals that they name. Only for
            traces of your own: a trace names any file it likes.

    Raises:
        MissingPath, RecordError: as `read_traces`, or the page would be too large for a browser.
        StorageError: the page cannot be written.
    """
    records = None
    if traces_path is not None:
        records = [
            _shown(record | ({"pictures": pictures_of(ranking)} if pictures and not record.get("pictures") else {}))
            for record, ranking in records_of(traces_path)
        ]
        title = title or os.path.basename(os.fspath(traces_path))
    text = page(records, title or "vretrver")
    if len(text) > MAX_PAGE_BYTES:
        raise RecordError(f"the page of {traces_path} would have {len(text)} bytes; split the trace file by lines")
    replace_file(out_html, [text])


def page(records: list[dict[str, Any]] | None, title: str) -> str:
    """The page's html, ASCII only. `records` are lines of a trace file; None leaves the page empty."""
    style = _asset("page.css")
    script = '"use strict";\n(() => {\n' + "".join(_asset(name) for name in SCRIPTS) + "})();\n"
    data = json.dumps({"title": title, "records": records}, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    values = {
        "policy": content_policy(style, script),
        "title": _escaped(title),
        "style": style,
        "script": script,
        # ASCII JSON: U+2028 and lone surrogates are escapes already; < > & could still end or open markup.
        "data": data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
    }
    # One pass, so that a mark inside the data stays text.
    return _MARK.sub(lambda mark: values[mark[1]], _asset("page.html"))


def content_policy(style: str, script: str = "") -> str:
    """A Content-Security-Policy that allows exactly this inline style, this inline script and `data:` pictures."""
    rules = ["default-src 'none'", "img-src data:", f"style-src '{_digest(style)}'", "connect-src 'none'"]
    rules += [f"script-src '{_digest(script)}'"] if script else []
    return "; ".join([*rules, "base-uri 'none'", "form-action 'none'"])


def stylesheet() -> str:
    """The page's style, for other pages that should look like it."""
    return _asset("page.css")


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    """A line as the page needs it: without originals (size, and they may be private), with sound thumbnails only."""
    return {key: value for key, value in record.items() if key not in ("pictures", "originals")} | {
        "pictures": _sound_pictures(record.get("pictures"))
    }


def _sound_pictures(pictures: Any) -> dict[str, Any]:
    sound: dict[str, Any] = {}
    for label, entry in pictures.items() if isinstance(pictures, Mapping) else ():
        if not isinstance(entry, Mapping) or not _is_data_url(entry.get("whole")):
            continue
        width, height, crops = entry.get("width"), entry.get("height"), entry.get("crops")
        if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
            continue
        kept = {key: url for key, url in crops.items() if _is_data_url(url)} if isinstance(crops, Mapping) else {}
        sound[label] = {"width": width, "height": height, "whole": entry["whole"], "crops": kept}
    return sound


def _is_data_url(value: Any) -> bool:
    return isinstance(value, str) and _DATA_URL.match(value) is not None


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _escaped(text: str) -> str:
    return html.escape(text).encode("ascii", "xmlcharrefreplace").decode()


def _asset(name: str) -> str:
    return files("vretrver.viewer").joinpath(name).read_text(encoding="utf-8")
