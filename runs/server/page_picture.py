"""The picture of the search page in docs/page.md: results above, the evidence of one of them below.

    make demo && vretrver serve demo/photos.vr &
    python -m runs.server.page_picture 'the price of a football' shelf-6 docs/page.png

Needs chromium.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from runs.screenshot import with_palette

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from browser import Browser  # the tests' own

SIZE = (1180, 690)
GAP = 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ask", help="what is searched for")
    parser.add_argument("id", help="the result whose evidence is shown")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--server", default="http://127.0.0.1:7331")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
        Browser(Path(scratch) / "profile") as browser,
    ):
        browser.size(*SIZE)
        browser.visit(f"{options.server}/?q={quote(options.ask)}")
        browser.wait("!!document.querySelector('.summary.done, .summary.none')", 120)
        browser.wait("[...document.images].every((it) => it.complete || it.getBoundingClientRect().top > innerHeight)")
        browser.screenshot(Path(scratch) / "results.png")
        browser.ask(f'document.querySelector("[data-id={options.id}] .tile").click()')
        browser.wait("[...document.querySelectorAll('dialog img')].every((it) => it.complete && it.naturalWidth)")
        browser.screenshot(Path(scratch) / "evidence.png")
        sheet = Image.new("RGB", (SIZE[0], 2 * SIZE[1] + GAP), "white")
        for at, name in enumerate(("results", "evidence")):
            sheet.paste(Image.open(Path(scratch) / f"{name}.png").convert("RGB"), (0, at * (SIZE[1] + GAP)))
        with_palette(sheet).save(options.picture, optimize=True)
    print(f"{options.picture}: {options.picture.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
