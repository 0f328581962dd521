"""Pictures to a model's tensors: each view is processed once and kept, however many rollouts show it.

It knows models whose pictures are grids of patches (`image_grid_thw`, the Qwen-VL families) and models that take one
row of pixels a picture (LLaVA). Others are refused: TRL would have to be told how to cut their tensors.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from vretrver.errors import InvalidInput
from vretrver.images import view_key
from vretrver.messages import View
from vretrver.training.rows import RowMaker

ROOM = 512 * 2**20  # bytes of processed pictures
_KNOWN = {"pixel_values", "image_grid_thw"}
_KINDS = {"mm_token_type_ids", "token_type_ids"}  # of each token: 1 where it stands for a picture


class Pixels:
    """Processed pictures.

    Args:
        room: bytes to keep at most; those unused for longest go first.

    Raises:
        InvalidInput: the model takes pictures in a way that is not known here.
    """

    def __init__(self, maker: RowMaker, name: str, room: int = ROOM) -> None:
        self._maker, self._room, self._bytes = maker, room, 0
        self._kept: OrderedDict[Hashable, dict[str, Any]] = OrderedDict()
        processor = maker.writer.processor
        unit = 4 * (maker.unit or 14)
        tried = processor(text=[processor.image_token], images=[[np.zeros((unit, unit, 3), np.uint8)]])
        names = set(tried) - {"input_ids", "attention_mask"}
        self._kinds = names & _KINDS
        self._gridded = "image_grid_thw" in names
        if not names - _KINDS <= _KNOWN or "pixel_values" not in names:
            raise InvalidInput(
                f"{name} takes its pictures as {', '.join(sorted(names))}; rollouts are trained of models that take "
                "grids of patches (Qwen-VL) or one row of pixels a picture (LLaVA)"
            )

    def of(self, view: View) -> dict[str, Any]:
        """One picture's tensors.

        Raises:
            MissingPath, ImageError: it cannot be decoded.
        """
        key = view_key(view)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        writer = self._maker.writer
        options = {"do_resize": False} if self._maker.unit else {}
        made = writer.processor.image_processor(images=[writer.pictures.picture(view)], return_tensors="pt", **options)
        found = {name: made[name] for name in _KNOWN if name in made}
        self._kept[key] = found
        self._bytes += _size(found)
        while self._bytes > self._room and len(self._kept) > 1:
            self._bytes -= _size(self._kept.popitem(last=False)[1])
        return found

    def inputs(self, input_ids: Any, views: Sequence[Sequence[View]], but: str = "") -> dict[str, Any]:
        """What a model takes beside `input_ids` [B, T] (in any padding) and their attention mask.

        Args:
            views: the pictures of each row, in order.
            but: leave this one out.

        Returns:
            The tensors, and `num_images` as TRL counts them; no pixels where no row has a picture.

        Raises:
            InvalidInput: a row has another number of picture tokens than its pictures take.
        """
        import torch

        shown = input_ids == self._maker.picture
        for at, row in enumerate(views):
            there, due = int(shown[at].sum()), sum(self._maker.tokens_of(view) for view in row)
            if there != due:
                raise InvalidInput(f"a rollout has {there} picture tokens where its {len(row)} pictures take {due}")
        made: dict[str, Any] = {name: shown.to(torch.long) for name in self._kinds}
        found = [self.of(view) for row in views for view in row]
        if found:
            made |= {name: torch.cat([one[name] for one in found]) for name in found[0] if name != but}
            made["num_images"] = [len(row) for row in views]
        if self._gridded and found:
            self._check(made["image_grid_thw"], views)
        return made

    def _check(self, grids: Any, views: Sequence[Sequence[View]]) -> None:
        """Refuse grids that make other numbers of tokens than the views were counted for."""
        merge = self._maker.writer.processor.image_processor.merge_size
        due = [self._maker.tokens_of(view) for row in views for view in row]
        if (grids.prod(dim=1) // merge**2).tolist() != due:
            raise InvalidInput("the image processor cuts pictures into other patches than their sizes say")


def _size(tensors: dict[str, Any]) -> int:
    return sum(one.numel() * one.element_size() for one in tensors.values())
