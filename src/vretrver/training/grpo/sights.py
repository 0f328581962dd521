"""What a model's eye makes of each picture, computed once while its weights stay.

A group shows one window's pictures in every rollout, and every turn shows them again: on a small model the eye was
three quarters of the time of drawing. transformers takes its outputs instead of pixels (`mm_encoder_outputs`) in models
whose forward says so. Those that hand on more than one thing a picture (Qwen3-VL's deepstack) are left as they are.
"""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Sequence
from typing import Any

from vretrver.images import view_key
from vretrver.messages import View
from vretrver.training.grpo.pixels import Pixels

ROOM = 2**30  # bytes of outputs that are kept; without room for all of a batch the model sees pixels
AT_ONCE = 16  # pictures
_ALONE = {"last_hidden_state", "pooler_output", "hidden_states", "attentions"}


class Sights:
    """Outputs of one model's eye. `forget` when its weights have changed."""

    def __init__(self, pixels: Pixels, room: int = ROOM) -> None:
        self._pixels, self._room, self._bytes = pixels, room, 0
        self._kept: dict[Hashable, Any] = {}
        self._kind: Any = None
        self._listed = False
        self._able: bool | None = None

    def forget(self) -> None:
        """The weights have changed."""
        self._kept.clear()
        self._bytes = 0

    def of(self, model: Any, views: Sequence[View]) -> Any | None:
        """What `mm_encoder_outputs["image"]` is for these pictures, in order; None where the model must see pixels.

        Args:
            model: without an adapter around it.
        """
        if self._able is None:
            self._able = "mm_encoder_outputs" in inspect.signature(model.forward).parameters
        missing = list({view_key(view): view for view in views if view_key(view) not in self._kept}.values())
        for start in range(0, len(missing), AT_ONCE):
            if not self._able or self._bytes > self._room:
                return None
            self._see(model, missing[start : start + AT_ONCE])
        if not self._able or not views:
            return None
        found = [self._kept[view_key(view)] for view in views]
        return self._kind(pooler_output=tuple(found) if self._listed else _stacked(found))

    def _see(self, model: Any, views: Sequence[View]) -> None:
        import torch

        seen = [self._pixels.of(view) for view in views]
        inputs = {name: torch.cat([one[name] for one in seen]) for name in seen[0]}
        inputs = {
            name: value.to(model.device, model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }
        with torch.no_grad():
            made = model.base_model.get_image_features(**inputs, return_dict=True)
        outputs = getattr(made, "pooler_output", None)
        if outputs is None or len(outputs) != len(views) or any(made[name] is not None for name in set(made) - _ALONE):
            self._able = False
            return
        self._kind, self._listed = type(made), not isinstance(outputs, torch.Tensor)
        for view, output in zip(views, outputs, strict=True):
            self._kept[view_key(view)] = output.clone()  # not a part of a larger one that would be kept for it
            self._bytes += output.numel() * output.element_size()


def _stacked(outputs: Sequence[Any]) -> Any:
    import torch

    return torch.stack(list(outputs))
