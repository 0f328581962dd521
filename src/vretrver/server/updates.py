"""Folders that the operator named, indexed on request, one at a time, while everybody goes on searching.

A request says a name, never a path. What is indexed can be searched from its batch on.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vretrver.errors import VretrverError
from vretrver.ingest import build_index
from vretrver.ocr import available
from vretrver.server.collection import Collection
from vretrver.server.faults import Refused, log, refused
from vretrver.server.uploads import Uploads

_KEPT = 32
_NAMED = 50  # skipped files that are named


@dataclass(slots=True)
class Update:
    """One run over a folder.

    Args:
        id: which cannot be guessed.
        folder: its name.
        state: `running`, `done` or `failed`.
        doing: `listing`, `embedding` or `reading words`; `done` of `total` pictures of that.
        added, updated, unchanged, deleted: documents, known at the end.
        skipped: how many could not be indexed, with some of them and why.
        error: what went wrong.
    """

    id: str
    folder: str
    state: str = "running"
    doing: str = "listing"
    done: int = 0
    total: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    skipped: int = 0
    reasons: list[str] = field(default_factory=list)
    error: str | None = None
    seconds: float = 0.0


class Updates:
    """Indexes folders in a thread of its own.

    Args:
        collection: what they are added to.
        uploads: the other writer of this process, which waits meanwhile.
        folders: that may be indexed; each goes by the last part of its path.
    """

    def __init__(self, collection: Collection, uploads: Uploads, folders: Sequence[Path]) -> None:
        self._collection, self._uploads = collection, uploads
        self._folders = {folder.name: folder for folder in folders}
        self._kept: OrderedDict[str, Update] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """The folders that may be indexed."""
        return list(self._folders)

    @property
    def running(self) -> Update | None:
        with self._lock:
            return next((one for one in self._kept.values() if one.state == "running"), None)

    def latest(self) -> list[dict[str, Any]]:
        """All runs that are remembered, the latest first."""
        with self._lock:
            return [asdict(one) for one in reversed(self._kept.values())]

    def __getitem__(self, name: str) -> dict[str, Any]:
        """A run by its id.

        Raises:
            Refused: 404, there is none, or no longer.
        """
        with self._lock:
            if name not in self._kept:
                raise Refused(404, "not_found", "there is no such update, or no longer: only the latest are kept", "id")
            return asdict(self._kept[name])

    def start(self, name: str) -> dict[str, Any]:
        """Begin to index a folder.

        Raises:
            Refused: 404, no folder of that name is allowed; 409, one is being indexed.
        """
        folder = self._folders.get(name)
        if folder is None:
            allowed = ", ".join(self._folders) or "none; start the server with --allow-folder"
            raise Refused(404, "not_found", f"no folder {name[:100]!r} may be indexed; allowed: {allowed}", "folder")
        with self._lock:
            busy = next((one for one in self._kept.values() if one.state == "running"), None)
            if busy is not None:
                raise Refused(409, "updating", f"the folder {busy.folder!r} is being indexed; wait until it is done")
            update = Update(secrets.token_urlsafe(9), name)
            self._kept[update.id] = update
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        threading.Thread(target=self._run, args=(update, folder), name="vretrver-update", daemon=True).start()
        return asdict(update)

    def _run(self, update: Update, folder: Path) -> None:
        started = time.monotonic()

        def tell(what: str, done: int, total: int) -> None:
            update.doing, update.done, update.total = what, done, total
            update.seconds = round(time.monotonic() - started, 1)

        try:
            with self._uploads.turn:
                where, model = self._collection.folder, self._collection.embedder
                report = build_index(folder, where, model, ocr=None if available() else False, progress=tell)
            self._collection.renew()
        except BaseException as fault:
            update.error, update.state = self._said(fault, folder), "failed"
            return
        for name in ("added", "updated", "unchanged", "deleted"):
            setattr(update, name, getattr(report, name))
        update.skipped = len(report.skipped)
        update.reasons = [self._hidden(f"{path}: {why}", folder) for path, why in report.skipped[:_NAMED]]
        update.seconds, update.state = round(time.monotonic() - started, 1), "done"

    def _said(self, fault: BaseException, folder: Path) -> str:
        if isinstance(fault, VretrverError):
            log.warning("indexing %s: %s", folder, fault)
            return self._hidden(str(fault), folder)
        return refused(fault).message if isinstance(fault, Exception) else "the server is stopping"

    def _hidden(self, text: str, folder: Path) -> str:
        """A message without this machine's folders."""
        for path in (folder.resolve(), folder, self._collection.folder.resolve(), self._collection.folder):
            text = text.replace(str(path), path.name)
        return text
