"""The values that flow through retrieval: what is asked, what is found, what one window holds.

Nothing here opens a file or does arithmetic on pixels: an `ImageRef` only says where a picture's
original bytes are. `vretrver.images` is the one place that opens it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any, Literal, TypeAlias

from vretrver.errors import InvalidInput

Modality: TypeAlias = Literal["text", "image", "image,text"]
Box: TypeAlias = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in pixels of the original picture as displayed (EXIF orientation applied), half-open."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where a picture's original bytes are: a file's path, or the bytes themselves. Exactly one is set.

    Raises:
        InvalidInput: neither or both of `path` and `data` are given.
    """

    path: str | None = None
    data: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.path is None) == (self.data is None):
            raise InvalidInput("an ImageRef takes either a path or the picture's bytes, not both and not neither")

    @classmethod
    def of(cls, source: ImageRef | str | PathLike[str] | bytes) -> ImageRef:
        """A reference from what people have in hand: a path, a picture's bytes, or a reference already."""
        if isinstance(source, ImageRef):
            return source
        if isinstance(source, bytes | bytearray | memoryview):
            return cls(data=bytes(source))
        if isinstance(source, str | PathLike):
            return cls(path=fspath(source))
        raise InvalidInput(
            f"cannot take a {type(source).__name__} as an image; pass a path, the file's bytes or an ImageRef "
            "(vretrver.images.from_pil turns a PIL image into one)"
        )

    @property
    def label(self) -> str:
        """A short name for messages and traces: the path, or the first digits of the bytes' SHA-256."""
        if self.path is not None:
            return self.path
        assert self.data is not None
        return f"bytes:{hashlib.sha256(self.data).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked: text, one or more pictures, or both.

    Args:
        text: free text, or None for a picture alone.
        images: pictures in the order the text speaks of them; paths, bytes or `ImageRef`s.
        instruction: what kind of match is wanted (M-BEIR's prompt); None when nothing was said.

    Raises:
        InvalidInput: there is neither text (blanks do not count) nor a picture.
    """

    text: str | None = None
    images: tuple[ImageRef, ...] = ()
    instruction: str | None = None

    def __post_init__(self) -> None:
        given: Any = self.images
        sources = (given,) if isinstance(given, str | bytes | PathLike | ImageRef) else given
        object.__setattr__(self, "images", tuple(ImageRef.of(source) for source in sources))
        object.__setattr__(self, "text", (self.text or "").strip() or None)
        if self.text is None and not self.images:
            raise InvalidInput("the query is empty; give some text, an image, or both")

    @property
    def modality(self) -> Modality:
        return modality_of(self.text, bool(self.images))


@dataclass(frozen=True, slots=True)
class Document:
    """One searchable item: text, one picture, or both.

    Args:
        id: unique in its collection.
        text: caption or body, as its owner wrote it.
        image: the original picture.
        printed: words read off the picture by OCR, as they were read; None when OCR has not run.
        metadata: whatever the owner keeps with it; JSON values.

    Raises:
        InvalidInput: the id is empty, or there is neither text nor a picture.
    """

    id: str
    text: str | None = None
    image: ImageRef | None = None
    printed: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", (self.text or "").strip() or None)
        if self.image is not None:
            object.__setattr__(self, "image", ImageRef.of(self.image))
        if not self.id:
            raise InvalidInput("a document needs an id that is not empty")
        if self.text is None and self.image is None:
            raise InvalidInput(f"document {self.id!r} has neither text nor an image; give one of them")

    @property
    def modality(self) -> Modality:
        return modality_of(self.text, self.image is not None)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document as the coarse stage found it.

    Args:
        document: what was found.
        score: the coarse stage's score, higher is better; comparable within one query only.
        rank: 1 for the best of the coarse stage.
        signals: the parts of the score by name (such as `vector`, `words`, `colour`), for who explains or refits it.
    """

    document: Document
    score: float
    rank: int
    signals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Window:
    """A query and the candidates one episode ranks, in incoming order (paper, section 3.3: at most 20).

    `start` is the 0-based position of the first candidate in the whole list that is being reranked.
    """

    query: Query
    candidates: tuple[Candidate, ...]
    start: int = 0


def modality_of(text: str | None, has_image: bool) -> Modality:
    """M-BEIR's name for what an item holds."""
    if text is None:
        return "image"
    return "image,text" if has_image else "text"
