"""Health, metrics, the OpenAPI page, and the start page.

`page/` beside this package holds the search page; while it is not there, `/` shows where things are.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST

from vretrver import __version__
from vretrver.server.parts import Parts
from vretrver.server.schemas import Health

router = APIRouter(tags=["server"])
SEARCH_PAGE = "page"
_DOCS = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>vretrver API</title>
<link rel="stylesheet" href="/static/docs/swagger-ui.css"></head><body><div id="docs"></div>
<script src="/static/docs/swagger-ui-bundle.js"></script><script src="/static/docs-start.js"></script></body></html>"""
_DOCS_START = """SwaggerUIBundle({url: "/openapi.json", dom_id: "#docs", deepLinking: true});"""
_START = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>vretrver</title></head><body>
<h1>vretrver</h1><p>{documents} documents. <a href="/docs">The API</a>, <a href="/metrics">metrics</a>.</p>
</body></html>"""
_ALLOWED = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_DOCS_ALLOWED = _ALLOWED.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")


@router.get("/health", openapi_extra={"security": []})
async def health(server: Parts) -> Health:
    """Whether the server is there."""
    return Health(status="ok", documents=len(server.collection.edition.rows), version=__version__)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(server: Parts) -> Response:
    """Prometheus metrics."""
    return Response(server.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/", include_in_schema=False)
async def start(server: Parts) -> HTMLResponse:
    """The search page."""
    index = files("vretrver.server") / SEARCH_PAGE / "index.html"
    if index.is_file():
        text = index.read_text(encoding="utf-8")
    else:
        text = _START.format(documents=len(server.collection.edition.rows))
    return HTMLResponse(text, headers={"Content-Security-Policy": _ALLOWED})


@router.get("/favicon.ico", include_in_schema=False)
async def icon() -> Response:
    """None; browsers ask all the same."""
    return Response(status_code=204)


@router.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    """The OpenAPI document to read and to try, without anything from elsewhere."""
    return HTMLResponse(_DOCS, headers={"Content-Security-Policy": _DOCS_ALLOWED})


@router.get("/static/docs-start.js", include_in_schema=False)
async def docs_start() -> Response:
    return Response(_DOCS_START, media_type="text/javascript")


def mount(app: FastAPI) -> None:
    """Serve the assets of both pages, where they are installed."""
    spec = find_spec("fastapi_offline")
    if spec is not None and spec.origin is not None:
        app.mount("/static/docs", StaticFiles(directory=Path(spec.origin).parent / "static"))
    page = Path(str(files("vretrver.server") / SEARCH_PAGE))
    if page.is_dir():
        app.mount("/static", StaticFiles(directory=page))
