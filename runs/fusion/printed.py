"""Synthetic pictures that carry words: receipts and product labels, drawn with Pillow, with queries that quote them.

Stands in for what people file (receipts, invoices, packages) when fusion weights are fitted; no real data needed.
Distractors share all but one thing with the answer: the vendor, the date, a percentage.
"""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vretrver.types import ImageRef, Query

VENDORS = ("Nordic Foods", "Cafe Luna", "City Garage", "Book Harbour", "Green Garden", "Corner Pharmacy")
ITEMS = ("Coffee", "Bread", "Oil filter", "Novel", "Tulips", "Aspirin", "Butter", "Notebook", "Honey", "Soap")
BRANDS = ("Solvik", "Maris", "Tundra", "Alva")
PRODUCTS = ("Milk", "Yoghurt", "Sour cream", "Juice")
PERCENTS = ("0,1%", "0,5%", "1,5%", "3%", "4%", "10%")
PAPERS = ("white", "#f6f2e4", "#e8f0f6", "#f2e6ee")


def receipts(folder: Path, count: int = 60, seed: int = 0) -> tuple[list[Path], list[tuple[Query, set[str]]]]:
    """Receipts on disk, and text queries with the names of the pictures that answer them."""
    rng, files, queries = random.Random(seed), [], []
    for number in range(count):
        vendor = rng.choice(VENDORS)
        date = f"2024-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
        total = f"{rng.randint(10, 900)}.{rng.randint(0, 99):02}"
        invoice = f"INV-{rng.randint(10000, 99999)}"
        lines = [vendor, date, *(f"{item}  {rng.randint(1, 99)}.00" for item in rng.sample(ITEMS, 4)),
                 f"Total {total}", invoice]  # fmt: skip
        file = folder / f"receipt{number:03}.png"
        _draw(lines, (360, 480), rng.choice(PAPERS), rng).save(file)
        files.append(file)
        asked = rng.choice([f"receipt from {vendor} total {total}", f"{vendor} {date}", f"invoice {invoice}", total])
        queries.append((Query(asked), {file.name}))
    return files, queries


def labels(folder: Path) -> tuple[list[Path], dict[str, list[tuple[Query, set[str]]]]]:
    """Labels of every brand, product and percentage, and queries by text, by another picture, and by both."""
    rng, files = random.Random(1), []
    asked: dict[str, list[tuple[Query, set[str]]]] = {"text": [], "image": [], "image,text": []}
    other = folder / "queries"
    other.mkdir(exist_ok=True)
    for brand in BRANDS:
        for product in PRODUCTS:
            for percent in PERCENTS:
                name = f"{brand}-{product}-{percent}.png".replace("%", "").replace(" ", "_")
                file = folder / name
                _draw([brand, product, percent], (300, 300), rng.choice(PAPERS), rng).save(file)
                files.append(file)
                if rng.random() < 0.4:
                    asked["text"].append((Query(f"{brand} {product} {percent.replace('%', ' %')}"), {name}))
                if rng.random() < 0.4:
                    again = other / name
                    _draw([brand, product, percent], (420, 380), rng.choice(PAPERS), rng).save(again)
                    asked["image"].append((Query(images=(ImageRef(path=str(again)),)), {name}))
                if rng.random() < 0.4:
                    changed = rng.choice([p for p in PERCENTS if p != percent])
                    again = other / f"both-{name}"
                    _draw([brand, product, changed], (420, 380), rng.choice(PAPERS), rng).save(again)
                    text = f"the same with {percent}"
                    asked["image,text"].append((Query(text, (ImageRef(path=str(again)),)), {name}))
    return files, asked


def _draw(lines: list[str], size: tuple[int, int], paper: str, rng: random.Random) -> Image.Image:
    picture = Image.new("RGB", size, paper)
    font = ImageFont.load_default(rng.randint(22, 30))
    pen = ImageDraw.Draw(picture)
    for at, line in enumerate(lines):
        pen.text((rng.randint(15, 40), 20 + at * (size[1] - 40) // len(lines)), line, "black", font)
    return picture.rotate(rng.uniform(-3, 3), fillcolor="gray", resample=Image.Resampling.BICUBIC)
