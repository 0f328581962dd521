"""The application: an index and settings in, an ASGI app out. Everything it runs with hangs on the app itself."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from vretrver.embedders import Embedder
from vretrver.ocr import Reader, Reads, available
from vretrver.server import faults, openapi
from vretrver.server.auth import Bearer, Doors
from vretrver.server.bodies import Bodies
from vretrver.server.collection import Collection
from vretrver.server.fetching import Fetch
from vretrver.server.metrics import Counted, Metrics
from vretrver.server.parts import Server
from vretrver.server.reading import Reading
from vretrver.server.routes import asks, collections, documents, pages, reranks, searches, traces
from vretrver.server.searching import Searching
from vretrver.server.settings import Settings
from vretrver.server.traces import Traces
from vretrver.server.updates import Updates
from vretrver.server.uploads import Uploads
from vretrver.server.words import Words


def app(
    index: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    embedder: Embedder | None = None,
    fetch: Fetch | None = None,
    reader: Reads | None = None,
) -> FastAPI:
    """The server of one index, for uvicorn or any ASGI server; one process, many threads.

    Args:
        index: the index's folder.
        settings: what it allows; who may reach it is up to the caller (`settings.token_for`).
        embedder: an object instead of the one that the index names.
        fetch: fetches pictures by URL, in place of one of `settings.fetch_from`.
        reader: reads what is printed on uploads, in place of the packaged OCR where that is installed.

    Raises:
        MissingPath, IndexMismatch: there is no index, or it cannot be read.
        InvalidInput, MissingExtra: the policy cannot be loaded.
    """
    settings = Settings() if settings is None else settings
    metrics = Metrics()
    collection = Collection(index, embedder)
    searching = Searching(collection, settings, metrics)
    fetch = Fetch(settings.fetch_from, settings.image_bytes) if fetch is None else fetch
    kept = Traces(settings.traces, settings.trace_bytes)
    reading = Reading(settings, fetch)
    uploads = Uploads(collection)
    updates = Updates(collection, uploads, settings.folders)
    words = Words(collection, uploads, _who_reads(settings, reader), lambda: searching.waiting > 0)
    server = Server(settings, collection, searching, reading, kept, uploads, updates, words, metrics)
    metrics.gauge("vretrver_documents", "Documents in the index.", lambda: len(collection.edition.rows))
    metrics.gauge("vretrver_queue", "Reranks that wait.", lambda: searching.waiting)
    metrics.gauge("vretrver_unread", "Uploaded pictures to be read for printed words.", lambda: words.left or 0)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=collection.warm, name="vretrver-warm", daemon=True).start()
        words.start()
        yield
        words.close()
        searching.close()

    made = FastAPI(
        title="vretrver",
        description="Search that looks before it answers.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=openapi.FAULTS,
    )
    made.state.server = server
    for routes in (searches, asks, reranks, documents, collections, traces, pages):
        made.include_router(routes.router)
    pages.mount(made)
    faults.install(made)
    openapi.install(made, guarded=settings.token is not None)
    _guard(made, settings, metrics)
    return made


def _who_reads(settings: Settings, reader: Reads | None) -> Callable[[], Reads] | None:
    """Makes a reader of uploads; None for a server to which nothing is uploaded, or that has none."""
    if not settings.writable:
        return None
    if reader is not None:
        return lambda: reader
    return (lambda: Reader(glance_first=True)) if available() else None


def _guard(made: FastAPI, settings: Settings, metrics: Metrics) -> None:
    """What every request passes first. The last one added is the first to see it."""
    made.add_middleware(Bodies, settings=settings)
    made.add_middleware(Bearer, settings=settings)
    if settings.origins:
        made.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        )
    made.add_middleware(Doors, settings=settings)
    made.add_middleware(Counted, metrics=metrics)
