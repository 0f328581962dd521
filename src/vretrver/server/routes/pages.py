"""Health, metrics, the OpenAPI page, and the search page, whose assets are in `page/`."""

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
_NO_DOCS = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>vretrver API</title></head><body>
<p>The OpenAPI document is <a href="/openapi.json">openapi.json</a>. To read it here: pip install fastapi-offline</p>
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
async def start() -> HTMLResponse:
    """The search page."""
    index = files("vretrver.server") / SEARCH_PAGE / "index.html"
    return HTMLResponse(index.read_text(encoding="utf-8"), headers={"Content-Security-Policy": _ALLOWED})


@router.get("/favicon.ico", include_in_schema=False)
async def icon() -> Response:
    """None; browsers ask all the same."""
    return Response(status_code=204)


@router.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    """The OpenAPI document to read and to try, without anything from elsewhere."""
    text = _NO_DOCS if _docs_assets() is None else _DOCS
    return HTMLResponse(text, headers={"Content-Security-Policy": _DOCS_ALLOWED})


@router.get("/static/docs-start.js", include_in_schema=False)
async def docs_start() -> Response:
    return Response(_DOCS_START, media_type="text/javascript")


def mount(app: FastAPI) -> None:
    """Serve the assets of both pages."""
    assets = _docs_assets()
    if assets is not None:
        app.mount("/static/docs", StaticFiles(directory=assets))
    app.mount("/static", StaticFiles(directory=Path(str(files("vretrver.server") / SEARCH_PAGE))))


def _docs_assets() -> Path | None:
    """Swagger UI's script and style, as `fastapi-offline` brings them; nothing else of it is used."""
    spec = find_spec("fastapi_offline")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "static"
