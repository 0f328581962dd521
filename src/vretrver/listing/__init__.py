"""What there is to index: a folder of pictures, a .jsonl / .csv / .parquet listing, or an M-BEIR candidate pool.

Names, captions and listings are untrusted: captions are bounded and decoded with replacement, paths must stay inside
their root unless that is allowed, a line that does not parse is skipped and named. No picture is opened here.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.images import EXTENSIONS
from vretrver.listing.entries import Entry, Listing
from vretrver.listing.folder import read_folder
from vretrver.listing.records import LISTINGS, read_records, split
from vretrver.listing.table import add_captions, read_table
from vretrver.listing.texts import MAX_CAPTION, printable

__all__ = ["LISTINGS", "MAX_CAPTION", "Entry", "Listing", "printable", "read_records", "read_source", "split"]


def read_source(
    source: str | os.PathLike[str],
    captions: str | os.PathLike[str] | None = None,
    image_root: str | os.PathLike[str] | None = None,
    outside: bool = False,
) -> Listing:
    """All entries of a folder or listing.

    Args:
        source: a folder (searched recursively, sorted, hidden names left out, ids are relative paths) or a listing.
        captions: for a folder, a listing with captions and metadata of its pictures, by path from the folder (or from
            `image_root`); it adds to sidecars and wins over them.
        image_root: the folder that a listing's paths start from; its own folder by default, and for an M-BEIR pool
            the nearest folder above it where the pictures are.
        outside: whether a listing may name pictures outside that folder.

    Raises:
        MissingPath: the source or the image root does not exist.
        InvalidInput: nothing to index in it, or a file of another kind.
        RecordError: an id comes twice, or the listing does not parse at all.
    """
    place = Path(source).resolve()  # so that a folder is known again, however it is spelled
    if not place.exists():
        raise MissingPath(f"no such folder or listing: {source}")
    if image_root is not None and not Path(image_root).is_dir():
        raise MissingPath(f"the image root {image_root} is not a folder")
    if captions is not None and not Path(captions).is_file():
        raise MissingPath(f"no such listing: {captions}")
    listing = read_folder(place) if place.is_dir() else read_table(place, image_root, outside)
    if captions is not None:
        add_captions(listing, read_table(Path(captions).resolve(), image_root or listing.root, outside))
    if not listing.entries:
        what = f"no pictures in {source} ({', '.join(sorted(EXTENSIONS))})" if place.is_dir() else f"{source} is empty"
        why = f"; {len(listing.skipped)} skipped, such as {': '.join(listing.skipped[0])}" if listing.skipped else ""
        raise InvalidInput(f"{what}{why}; there is nothing to index")
    counts = Counter(entry.id for entry in listing.entries)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise RecordError(f"{source} names {len(twice)} ids more than once, such as {twice[:5]}; ids must be unique")
    return listing
