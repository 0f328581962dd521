"""Rank products that another search found: documents in, an order with evidence out. No index is needed.

python examples/rerank_products.py
"""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from vretrver import Document, Query, Reranker, load_policy
from vretrver.images import from_pil


def carton(fat: str, colour: str) -> Document:
    """A milk carton whose one difference is printed small."""
    picture = Image.new("RGB", (600, 800), "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, 600, 220), fill=colour)
    draw.text((300, 370), "MILK", font=ImageFont.load_default(100), fill="#223", anchor="mm")
    draw.text((300, 700), f"{fat} % fat", font=ImageFont.load_default(30), fill="#223", anchor="mm")
    return Document(f"milk-{fat}", "Fresh milk, one litre.", from_pil(picture))


def main() -> None:
    products = [carton("3.5", "#2a6fb0"), carton("1.5", "#2f7ab8"), carton("0.1", "#2a6fb0")]
    ranking = Reranker(load_policy("evidence")).rerank(Query("milk with 1.5 % fat"), products)
    for result in ranking.results:
        print(f"{result.rank}  {result.confidence:4.0%}  {result.document.id}")
        for look in result.evidence:
            print(f"       {look.tool} {look.box}: {look.note}")


if __name__ == "__main__":
    main()
