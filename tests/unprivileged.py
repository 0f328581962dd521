"""Being somebody whom permissions bind, also where the tests run as root."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def open_folder() -> Iterator[Path]:
    """A new folder that others can reach, as pytest's own cannot be."""
    with tempfile.TemporaryDirectory(prefix="vretrver-test-") as made:
        folder = Path(made).resolve()
        folder.chmod(0o755)
        yield folder


@contextmanager
def bound_by_permissions(folder: Path) -> Iterator[None]:
    """A process that permissions bind, until the end; what lies in the folder is its own.

    Root is bound by none, so as root the effective user is another meanwhile. That user may be unable to import what
    was not imported before.
    """
    if os.geteuid() != 0:
        yield
        return
    for place, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            os.chown(Path(place, name), NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
