"""The parts of one running server, which its routes share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from vretrver.server.collection import Collection
from vretrver.server.metrics import Metrics
from vretrver.server.reading import Reading
from vretrver.server.searching import Searching
from vretrver.server.settings import Settings
from vretrver.server.traces import Traces
from vretrver.server.updates import Updates
from vretrver.server.uploads import Uploads
from vretrver.server.words import Words
from vretrver.trace import Ranking


@dataclass(frozen=True, slots=True)
class Server:
    """What a request is answered with."""

    settings: Settings
    collection: Collection
    searching: Searching
    reading: Reading
    traces: Traces
    uploads: Uploads
    updates: Updates
    words: Words
    metrics: Metrics

    @property
    def roots(self) -> Sequence[Path]:
        """The folders whose pictures are indexed."""
        index = self.collection.edition.index
        return [source.resolved(index.folder) for source in index.manifest.sources]

    def keep(self, ranking: Ranking) -> str:
        """Keep a ranking to be looked at, and count what it cost."""
        self.metrics.spent(ranking)
        return self.traces.keep(ranking)


def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


Parts = Annotated[Server, Depends(_server)]
