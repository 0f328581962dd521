"""What a model's eye makes of each picture, kept while its weights stay: every turn shows the pictures again.

On a small model the eye was three quarters of the time of drawing rollouts. transformers takes its outputs instead of
pixels (`mm_encoder_outputs`) in models whose forward says so. Those that hand on more than one thing a picture
(Qwen3-VL's deepstack) are left as they are. It leaves out keys and values of the text.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vretrver.images import view_key
from vretrver.messages import View
from vretrver.policies.local.recent import Recent

ROOM = 256 * 2**20  # bytes
AT_ONCE = 8  # pictures; on a CPU more are no faster, and the system spends its time on the room for them
_ALONE = {"last_hidden_state", "pooler_output", "hidden_states", "attentions"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a model takes instead of the pixels of some pictures.

    Args:
        tokens: how many each picture takes in a prompt.
        inputs: `mm_encoder_outputs`, on the model's device, and what else the eye was given (`image_grid_thw`).
    """

    tokens: tuple[int, ...]
    inputs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Sight:
    """One picture's output [T, H], in this machine's memory, and what the eye was given beside its pixels."""

    output: Any
    beside: dict[str, Any]


class Sights:
    """Outputs of one model's eye. `forget` when its weights have changed.

    Args:
        pixels: one picture's tensors as the model takes them.
        room: bytes to keep at most between calls, with the originals of pictures that are no files, which are kept
            alive; those unused for longest go first.
    """

    def __init__(self, pixels: Callable[[View], Mapping[str, Any]], room: int = ROOM) -> None:
        self._pixels = pixels
        self._kept: Recent[_Sight] = Recent(room)
        self._kind: Any = None
        self._listed = False
        self._able: bool | None = None

    def forget(self) -> None:
        """The weights have changed."""
        self._kept.clear()

    def of(self, model: Any, views: Sequence[View]) -> Seen | None:
        """What the model takes instead of these pictures, in order; None where it must see pixels, or there are none.

        Args:
            model: without an adapter around it.

        Raises:
            MissingPath, ImageError: a picture that was not seen yet cannot be decoded.
        """
        if self._able is None:
            self._able = _takes_outputs(model)
        if not (self._able and views):
            return None
        keys = [view_key(view) for view in views]  # before anything is read: a file may change meanwhile
        shown = dict(zip(keys, views, strict=True))
        found = {key: sight for key in shown if (sight := self._kept.get(key)) is not None}
        missing = [key for key in shown if key not in found]
        for start in range(0, len(missing), AT_ONCE):
            some = missing[start : start + AT_ONCE]
            made = self._see(model, [shown[key] for key in some])
            if made is None:
                self._able = False
                return None
            for key, sight in zip(some, made, strict=True):
                found[key] = sight
                self._kept.put(key, sight, _size(shown[key], sight))
        return self._seen([found[key] for key in keys], model.device)

    def _see(self, model: Any, views: Sequence[View]) -> list[_Sight] | None:
        """Show the eye some pictures; None where it makes more of one than can be handed on."""
        import torch

        given = [dict(self._pixels(view)) for view in views]
        inputs = {name: torch.cat([one[name] for one in given]) for name in given[0]}
        inputs = {
            name: value.to(model.device, model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }
        with torch.no_grad():
            made = model.base_model.get_image_features(**inputs, return_dict=True)
        outputs = getattr(made, "pooler_output", None)
        if outputs is None or len(outputs) != len(views) or any(made[name] is not None for name in set(made) - _ALONE):
            return None
        self._kind, self._listed = type(made), not isinstance(outputs, torch.Tensor)
        for one in given:
            del one["pixel_values"]
        # Copies, not parts of a larger tensor that would be kept for them; an accelerator's memory is for the model.
        return [_Sight(output.to("cpu", copy=True), one) for output, one in zip(outputs, given, strict=True)]

    def _seen(self, sights: Sequence[_Sight], device: Any) -> Seen:
        import torch

        outputs = [sight.output.to(device) for sight in sights]
        image = self._kind(pooler_output=tuple(outputs) if self._listed else torch.stack(outputs))
        beside = {name: torch.cat([sight.beside[name] for sight in sights]) for name in sights[0].beside}
        return Seen(tuple(len(output) for output in outputs), {"mm_encoder_outputs": {"image": image}, **beside})


def _takes_outputs(model: Any) -> bool:
    forward = getattr(model, "forward", None)
    return forward is not None and "mm_encoder_outputs" in inspect.signature(forward).parameters


def _size(view: View, sight: _Sight) -> int:
    """Bytes that are kept alive: the output, and the original where the view holds it itself."""
    return int(sight.output.numel() * sight.output.element_size()) + len(view.image.data or b"")
