"""What tells that a folder has changed: the system, or a look through it every so often."""

from __future__ import annotations

import threading
from pathlib import Path

from vretrver.errors import MissingExtra, StorageError

SETTLED = 0.2  # seconds without a change end a burst
BURST = 5.0  # seconds after which a burst is taken in though it goes on


class Notices:
    """A thread that sets `changed` when a burst of changes in a folder has settled.

    Args:
        root: the folder; `place`: its identity.
        index: what is written by whoever takes the changes in; nothing in it is a change.
        poll: seconds between two looks through the folder; None waits to be told.

    Raises:
        MissingExtra: `watchfiles` is not installed.
    """

    def __init__(
        self, root: Path, index: Path, changed: threading.Event, place: tuple[int, int], poll: float | None
    ) -> None:
        try:
            import watchfiles
        except ImportError as fault:
            raise MissingExtra("watching a folder", "watch") from fault
        self.place, self._root, self._fault = place, root, ""
        self._stop, ready = threading.Event(), threading.Event()

        def notice() -> None:
            try:
                for changes in watchfiles.watch(
                    root,
                    watch_filter=lambda _change, path: matters(Path(path), root, index),
                    debounce=round(BURST * 1000),
                    step=round(SETTLED * 1000),
                    rust_timeout=round(SETTLED * 1000),
                    yield_on_timeout=True,
                    stop_event=self._stop,
                    raise_interrupt=False,
                    force_polling=poll is not None,
                    poll_delay_ms=round((poll or 1) * 1000),
                    ignore_permission_denied=True,
                ):
                    ready.set()  # from here on nothing is missed
                    if changes:
                        changed.set()
            except (OSError, RuntimeError) as fault:
                self._fault = str(fault)
                changed.set()
            ready.set()

        self._thread = threading.Thread(target=notice, name="vretrver-watch", daemon=True)
        self._thread.start()
        ready.wait()

    def check(self) -> None:
        """Raise StorageError if changes are noticed no longer, unless because the folder is gone."""
        if self._fault and identity(self._root) == self.place:
            raise StorageError(f"the system cannot watch {self._root} ({self._fault[:200]}); poll it with --poll 10")

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)


def matters(path: Path, root: Path, destination: Path) -> bool:
    """Whether a change there can change what is indexed: the index itself and hidden things cannot."""
    if path == destination or destination in path.parents:
        return False
    inner = path.relative_to(root).parts if path.is_relative_to(root) else ()
    return not any(part.startswith(".") or part.endswith(".vr") for part in inner)


def identity(root: Path) -> tuple[int, int] | None:
    """Which folder stands there: another after a drive was taken out or put in; None if there is none."""
    try:
        status = root.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if root.is_dir() else None
