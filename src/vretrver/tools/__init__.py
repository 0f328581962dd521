"""Tools: what an agent can do to look closer (paper, section 3.3). Arguments in, an observation out.

To add one, write a class with the members of `Tool` and put it in a `Toolbox`. A tool decodes nothing: it says
which part of which original is shown (a `View`), and who needs the pixels renders them. Refuse bad arguments
with `ToolError`; its message is what the model hears.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from vretrver.boxes import BoxFamily, to_original
from vretrver.errors import InvalidInput, ToolError
from vretrver.messages import ImagePart, Observation, TextPart, ToolCall, View

REFUSED = "Your action is not valid, please check the format and try again."
"""Every refusal opens with this, and the reason follows without a space, as the released checkpoints were trained."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One numbered picture of a window.

    Args:
        view: the whole picture at the size at which it was last shown whole, first of all in the window.
        size: width and height of the original in pixels.
        candidate: 0-based position of its candidate in the window; None for a picture of the query.
    """

    view: View
    size: tuple[int, int]
    candidate: int | None = None


@dataclass(frozen=True, slots=True)
class Gallery:
    """The pictures of one window by their number on the wire (`messages.ImagePart`), and how boxes are written."""

    pictures: Mapping[int, Picture]
    boxes: BoxFamily = "released"

    @property
    def candidate_images(self) -> int:
        """N: how many candidates are shown with a picture. Their numbers are 1..N."""
        return sum(index > 0 for index in self.pictures)

    def picture(self, index: Any) -> Picture:
        """The picture of a number the model gave.

        Raises:
            ToolError: it is not a whole number, or no picture has it.
        """
        if isinstance(index, bool) or not isinstance(index, int):
            raise ToolError(f"Invalid target_image format. {brief(index)} is not an integer.")
        if index in self.pictures:
            return self.pictures[index]
        if index == 0:
            raise ToolError(
                "Query image does not exist. Please rely on the query text and do not choose image 0 again."
            )
        if index > 0 and not self.candidate_images:
            raise ToolError("Candidate images do not exist. Please rely on the candidates' texts.")
        raise ToolError(
            "Invalid target_images indices. Each index should be an integer equal to 0 for the query image or between "
            f"1 and the number of candidate images ({self.candidate_images}) for candidate images."
        )

    def after(self, observation: Observation) -> Gallery:
        """The gallery once the model has read an observation: a picture shown whole again is measured by that view."""
        whole = {
            part.index: replace(known, view=part.view)
            for part in observation.parts
            if isinstance(part, ImagePart)
            and part.view.box is None
            and (known := self.pictures.get(part.index)) is not None
            and known.view.image == part.view.image
        }
        return replace(self, pictures={**self.pictures, **whole}) if whole else self

    def pixels(self, picture: Picture, values: Sequence[float]) -> tuple[float, float, float, float]:
        """Pixels of the picture's original, from four numbers in the model's own family of coordinates."""
        return to_original(values, self.boxes, picture.size, (picture.view.width, picture.view.height))


@runtime_checkable
class Tool(Protocol):
    """`signature` is the JSON function signature that the model reads; `aliases` are other names it may call."""

    @property
    def name(self) -> str: ...
    @property
    def aliases(self) -> tuple[str, ...]: ...
    @property
    def signature(self) -> Mapping[str, Any]: ...

    def run(self, arguments: Mapping[str, Any], gallery: Gallery) -> Observation:
        """Check the arguments and answer.

        Raises:
            ToolError: the arguments are not usable; the message says why and what is allowed.
        """
        ...


class Toolbox:
    """The tools of an episode.

    Raises:
        InvalidInput: two tools share a name or an alias.
    """

    def __init__(self, tools: Sequence[Tool]) -> None:
        self.tools = tuple(tools)
        self._by_name: dict[str, Tool] = {}
        for tool in self.tools:
            for name in (tool.name, *tool.aliases):
                if self._by_name.setdefault(name, tool) is not tool:
                    raise InvalidInput(f"two tools answer to {name!r}; give one of them another name")

    @property
    def signatures(self) -> list[Mapping[str, Any]]:
        return [tool.signature for tool in self.tools]

    def canonical(self, name: str) -> str:
        """The tool's own name for one of its aliases; a name no tool has stays as it is."""
        tool = self._by_name.get(name)
        return tool.name if tool else name

    def run(self, call: ToolCall, gallery: Gallery) -> Observation:
        """Answer a call; one that is refused is answered too, with the reason.

        Raises:
            Exception: whatever a faulty tool raises besides ToolError.
        """
        try:
            return self._tool(call).run(call.arguments, gallery)
        except ToolError as refusal:
            return refused(str(refusal))

    def _tool(self, call: ToolCall) -> Tool:
        tool = self._by_name.get(call.name)
        if tool is None:
            names = ", ".join(known.name for known in self.tools) or "none"
            raise ToolError(f"Unknown tool {brief(call.name)}. The tools are: {names}.")
        required = tool.signature.get("parameters", {}).get("required", ())
        missing = [name for name in required if name not in call.arguments]
        if missing:
            raise ToolError(f"Missing parameters: {', '.join(missing)}")
        return tool


def default_toolbox() -> Toolbox:
    """The paper's two tools: select_images and crop_image."""
    from vretrver.tools.crop_image import CropImage
    from vretrver.tools.select_images import SelectImages

    return Toolbox([SelectImages(), CropImage()])


def load_toolbox(names: str | Sequence[str] | None = None) -> Toolbox:
    """The tools of some names.

    Args:
        names: a list, or one string with commas: `select_images` (or `select`), `crop_image` (or `zoom`),
            `compare_crops` (or `compare`), `none` for no tool at all; None for the paper's two.

    Raises:
        InvalidInput: no such tool.
    """
    if names is None:
        return default_toolbox()
    from vretrver.tools.compare_crops import CompareCrops

    known = Toolbox([*default_toolbox().tools, CompareCrops()])
    asked = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    if asked in ([], ["none"]):
        return Toolbox([])
    wanted = [known.canonical({"select": "select_images", "zoom": "zoom_in"}.get(name, name)) for name in asked]
    choices = {tool.name: tool for tool in known.tools}
    for name, tool in zip(asked, wanted, strict=True):
        if tool not in choices:
            raise InvalidInput(f"unknown tool {name!r}; choose from {', '.join(choices)}, or none for no tools")
    return Toolbox([tool for name, tool in choices.items() if name in wanted])


def refused(reason: str) -> Observation:
    return Observation((TextPart(REFUSED + reason),), valid=False)


def shown(text: str, parts: Sequence[ImagePart]) -> Observation:
    """An observation of a text and the pictures that follow it."""
    return Observation((TextPart(text), *parts))


def brief(value: Any) -> str:
    """A value from the model, short enough to be quoted back to it, and no protocol tag any more."""
    try:
        text = repr(value).replace("<", "\u2039")
    except (ValueError, RecursionError):  # a number of thousands of digits; a very deep list
        return f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
