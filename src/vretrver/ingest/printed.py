"""The second phase of an indexing run: the words printed in pictures that have not been read yet."""

from __future__ import annotations

from vretrver.errors import ImageError, MissingExtra, MissingPath
from vretrver.indexes.lance import LanceIndex
from vretrver.ingest.batches import Progress, bar, chunks
from vretrver.ingest.report import IngestReport
from vretrver.ocr import MAX_SIDE, Reader, Reads, printed_text
from vretrver.types import ImageRef


def read_words(
    index: LanceIndex, report: IngestReport, progress: Progress, reader: Reads | None, batch: int = 16
) -> None:
    """Read the pictures that have not been read; stop at any time, acknowledged batches stay."""
    from vretrver.images import open_image

    waiting = index.unread()
    if not waiting:
        return
    try:
        reader = Reader(glance_first=True) if reader is None else reader
    except MissingExtra as fault:
        report.warnings.append(f"words printed in the pictures were not read; {fault}")
        return
    with bar(len(waiting), "reading words", progress) as drawn:
        for chunk in chunks(iter(waiting), batch):
            found: dict[str, str] = {}
            for name, path in chunk:
                try:
                    found[name] = printed_text(reader.read(open_image(ImageRef(path=path), near=MAX_SIDE // 2)))
                except (ImageError, MissingPath) as fault:
                    found[name] = ""
                    report.warnings.append(f"{path}: no words read; {fault}")
                drawn.update(1)
            index.set_printed(found)
            report.read += len(found)
