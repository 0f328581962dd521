"""Pictures to a model's tensors: each view is processed once and kept, however many rollouts show it.

It knows the tensors of `policies.local.prompts.PICTURE`. Models that take others are refused: TRL would have to be
told how to cut them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vretrver.errors import InvalidInput
from vretrver.images import view_key
from vretrver.messages import View
from vretrver.policies.local.prompts import KINDS, PICTURE
from vretrver.policies.local.recent import Recent
from vretrver.training.rows import RowMaker

ROOM = 512 * 2**20  # bytes of processed pictures


class Pixels:
    """Processed pictures.

    Args:
        room: bytes to keep at most; those unused for longest go first.

    Raises:
        InvalidInput: the model takes pictures in a way that is not known here.
    """

    def __init__(self, maker: RowMaker, name: str, room: int = ROOM) -> None:
        self._maker = maker
        self._kept: Recent[dict[str, Any]] = Recent(room)
        names = maker.writer.made
        self._kinds = names & KINDS
        self._gridded = "image_grid_thw" in names
        if not names - KINDS <= PICTURE or "pixel_values" not in names:
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
        found = self._kept.get(key)
        if found is None:
            found = self._maker.writer.pixels(view)
            self._kept.put(key, found, sum(one.numel() * one.element_size() for one in found.values()))
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
