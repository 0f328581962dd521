"""The eye: a ResNet whose 6 x 4 cells say what stands in them. Taught on close-ups, with exact labels, by itself.

Every mark's place is known, so the feature map is read there (bilinear) and asked which mark it is, in which ink; every
character is asked of the cell that holds it, given where in the cell. Which mark is learnt by contrast: a batch holds
whole groups, so marks come with their equals and with their look-alikes, and features of equal marks come close to each
other, also of marks never seen. The heads are thrown away afterwards; the language model reads the cells.

It leaves out finding the tag in a thumbnail: `thumbnails`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vretrver.training.nano.close_ups import CHARACTERS, CloseUps
from vretrver.training.nano.settings import HEIGHT, STRIDE, WIDTH
from vretrver.training.nano.tower import MEAN, STD
from vretrver.world.scenes import INKS, KINDS

SCALE = 16.0  # of the cosines
KEY = 128  # numbers that tell marks apart
POINTER = 64  # units between a cell and the box that it holds


class Heads(nn.Module):
    """What is asked of the eye's cells.

    Args:
        width: channels of the eye's last feature map.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.key = nn.Linear(width, KEY, bias=False)
        self.ink = nn.Linear(width, len(INKS))
        self.kind = nn.Linear(width, len(KINDS))
        self.letter = nn.Sequential(nn.Linear(width + 8, 256), nn.GELU(), nn.Linear(256, len(CHARACTERS)))
        self.box = nn.Sequential(nn.Conv2d(width, POINTER, 1), nn.GELU(), nn.Conv2d(POINTER, 5, 1))

    def keys(self, maps: Tensor, places: Tensor) -> Tensor:
        """Unit vectors (N, S, KEY) that tell what stands at places (N, S, 2), given as shares of the sides."""
        return functional.normalize(self.key(at_places(maps, places)).float(), dim=-1)

    def letters(self, maps: Tensor, places: Tensor) -> Tensor:
        """Logits (N, S, characters), each asked of one cell and of where in it."""
        rows, columns = maps.shape[2:]
        scaled = places.clamp(0, 0.9999) * torch.tensor([columns, rows], device=places.device)
        cell = scaled.long()
        flat = (cell[..., 1] * columns + cell[..., 0])[..., None].expand(-1, -1, maps.shape[1])
        found = maps.flatten(2).transpose(1, 2).gather(1, flat)
        within = scaled - cell
        angles = torch.cat([within * torch.pi, within * 2 * torch.pi], dim=-1)
        logits: Tensor = self.letter(torch.cat([found, angles.sin(), angles.cos()], dim=-1))
        return logits


def at_places(maps: Tensor, places: Tensor) -> Tensor:
    """Features (N, S, C) of maps (N, C, rows, columns) at places (N, S, 2), between cells by their distance."""
    grid = places[:, :, None, :] * 2 - 1
    return functional.grid_sample(maps, grid.to(maps.dtype), align_corners=False, padding_mode="border")[
        ..., 0
    ].transpose(1, 2)


def pixels_of(batch: Any, device: torch.device | str = "cpu") -> Tensor:
    """8-bit pictures (N, H, W, 3) as the processor hands them to the tower: (N, 3, H, W)."""
    pixels = torch.as_tensor(batch, device=device).permute(0, 3, 1, 2)
    return (pixels.float() / 255 - MEAN) / STD


def losses(maps: Tensor, heads: Heads, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Cross entropies by question; what a batch does not hold is left out."""
    found = {"kind": functional.cross_entropy(heads.kind(maps.mean((2, 3))).float(), batch["kinds"])}
    marked = batch["marks"] >= 0
    if marked.any():
        keys = heads.keys(maps, batch["places"])[marked]
        found["mark"] = alike(keys, batch["marks"][marked])
        ink = heads.ink(at_places(maps, batch["places"]))[marked].float()
        found["ink"] = functional.cross_entropy(ink, batch["inks"][marked])
    written = batch["characters"] >= 0
    if written.any():
        logits = heads.letters(maps, batch["places"])[written].float()
        found["letter"] = functional.cross_entropy(logits, batch["characters"][written])
    return found


def alike(keys: Tensor, names: Tensor) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, equation 2) of unit vectors (M, KEY) named by (M,)."""
    logits = (SCALE * keys @ keys.T).fill_diagonal_(-1e4)
    same = (names[:, None] == names[None, :]).fill_diagonal_(False)
    share = logits - logits.logsumexp(1, keepdim=True)
    paired = same.any(1)
    if not paired.any():
        return keys.sum() * 0
    loss: Tensor = -((share * same).sum(1)[paired] / same.sum(1)[paired]).mean()
    return loss


def box_loss(maps: Tensor, heads: Heads, boxes: Tensor) -> Tensor:
    """Where a thumbnail's tag is: which cell holds its middle, and its box (N, 4) as shares of the sides."""
    said = heads.box(maps).float().flatten(2)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    centres = cell_centres(maps)
    cell = (
        (centres[None] - middle[:, None])
        .abs()
        .mul(torch.tensor(maps.shape[:1:-1], device=maps.device))
        .amax(-1)
        .argmin(1)
    )
    there = said[:, 1:].gather(2, cell[:, None, None].expand(-1, 4, 1))[..., 0] + centres[cell].repeat(1, 2)
    loss: Tensor = functional.cross_entropy(said[:, 0], cell) + 40 * functional.smooth_l1_loss(there, boxes, beta=0.02)
    return loss


def found_boxes(maps: Tensor, heads: Heads) -> Tensor:
    """Boxes (N, 4) as the head sees them."""
    flat = heads.box(maps).float().flatten(2)
    cell = flat[:, 0].argmax(-1)
    boxes: Tensor = flat[:, 1:].gather(2, cell[:, None, None].expand(-1, 4, 1))[..., 0]
    return boxes + cell_centres(maps)[cell].repeat(1, 2)


def cell_centres(maps: Tensor) -> Tensor:
    """Middles (cells, 2) of the cells of maps, as shares of the sides: a cell says boxes from its own middle."""
    rows, columns = maps.shape[2:]
    down, across = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return ((torch.stack([across, down], -1) + 0.5) / torch.tensor([columns, rows])).flatten(0, 1).to(maps.device)


def labels_of(shown: CloseUps, rows: Any, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """What is on some close-ups, as tensors."""
    columns = {name: getattr(shown, name)[rows] for name in ("kinds", "places", "marks", "inks", "characters")}
    return {name: torch.as_tensor(column, device=device) for name, column in columns.items()}


def marked_cells(shown: CloseUps, count: int) -> Tensor:
    """Which cells of the first close-ups hold the middle of a mark: ones and zeros (count, cells)."""
    columns, rows = WIDTH // STRIDE, HEIGHT // STRIDE
    places = torch.as_tensor(shown.places[:count]).clamp(0, 0.9999)
    cells = (places[..., 1] * rows).long() * columns + (places[..., 0] * columns).long()
    marked = torch.zeros(len(places), rows * columns)
    is_mark = torch.as_tensor(shown.marks[:count] >= 0).float()
    return marked.scatter_reduce(1, cells, is_mark, "amax")


@torch.no_grad()
def exam(maps: Tensor, heads: Heads, labels: dict[str, Tensor]) -> dict[str, float]:
    """Accuracies on close-ups, of marks never trained on too.

    Args:
        maps: the tower's last, (N, C, rows, columns).

    Returns:
        `same`: how often the mark most like a mark of another picture is the same mark, where one is there; `which`:
        the same of tags with one mark alone. `ink`, `letter`, `kind`.
    """
    marked, written = labels["marks"] >= 0, labels["characters"] >= 0
    keys, names = heads.keys(maps, labels["places"])[marked], labels["marks"][marked]
    owner = torch.arange(len(maps), device=maps.device)[:, None].expand(marked.shape)[marked]
    apart = owner[:, None] != owner[None, :]
    again = ((names[:, None] == names[None, :]) & apart).any(1)
    same = names[(keys @ keys.T).masked_fill(~apart, -2).argmax(1)] == names
    found = {
        "same": same[again],
        "which": same[again & (labels["kinds"][owner] == 0)],
        "ink": heads.ink(at_places(maps, labels["places"]))[marked].argmax(-1) == labels["inks"][marked],
        "letter": heads.letters(maps, labels["places"])[written].argmax(-1) == labels["characters"][written],
        "kind": heads.kind(maps.mean((2, 3))).argmax(-1) == labels["kinds"],
    }
    return {name: round(float(right.float().mean()), 3) for name, right in found.items() if len(right)}
