"""A picture of a trace's page for the README: headless Chromium, then a palette, so that it stays small.

    make demo && python runs/screenshot.py demo/traces/camera-germany.html docs/trace.png

Needs a `chromium` on the machine (apt-get install chromium).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

QUIET = ("gpu", "quic", "background-networking", "component-update", "sync")
# Where the agent looked, what rose, what fell, paper and ink: as in viewer/page.css.
ACCENTS = ("e8452c", "f4a293", "0b7a68", "85bcb3", "a2623b", "fbfaf7", "1f1d1a")
ACCENTS_FLAT = [value for accent in ACCENTS for value in bytes.fromhex(accent)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--size", default="1180,2120", help="width,height in pixels (default: 1180,2120)")
    parser.add_argument("--dark", action="store_true")
    options = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not options.page.is_file():
        print(f"screenshot: no such page: {options.page}", file=sys.stderr)
        return 1
    if browser is None:
        print("screenshot: no chromium on this machine: apt-get install chromium", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        flags = ["--headless", "--no-sandbox", "--no-first-run", "--hide-scrollbars", "--virtual-time-budget=4000"]
        flags += [f"--disable-{name}" for name in QUIET]
        flags += [f"--user-data-dir={folder}/profile", f"--window-size={options.size}", f"--screenshot={shot}"]
        flags += ["--blink-settings=preferredColorScheme=0"] if options.dark else []
        subprocess.run([browser, *flags, options.page.resolve().as_uri()], check=True, capture_output=True, timeout=60)
        with Image.open(shot) as picture:
            small = with_palette(picture.convert("RGB"))
        small.save(options.picture, optimize=True)
    print(f"{options.picture}: {options.picture.stat().st_size // 1000} kB")
    return 0


def with_palette(picture: Image.Image) -> Image.Image:
    """256 colours, a quarter of the bytes; the page's accents are few pixels and would be lost among the photos'."""
    common = picture.quantize(256 - len(ACCENTS), kmeans=1).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*ACCENTS_FLAT, *common[: 3 * (256 - len(ACCENTS))]])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


if __name__ == "__main__":
    sys.exit(main())
