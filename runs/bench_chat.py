"""Client CPU of one chat call with 20 pictures: `ChatPolicy`, and other clients with the same body, interleaved.

    python runs/bench_chat.py [--calls 200] [--pictures 20]

The server runs in a process of its own, so that `process_time` counts the client alone. Other clients are measured
when they are installed: httpx (or httpx2) with orjson and memoised base64, and the openai SDK.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from vretrver.images import from_pil
from vretrver.messages import Conversation
from vretrver.policies.chat import ChatPolicy
from vretrver.protocol import Wire, number_pictures, render_window
from vretrver.tools import default_toolbox
from vretrver.types import Candidate, Document, Query, Window

SERVER = """
import sys
from vretrver.testing import FakeEndpoint
with FakeEndpoint(reply=lambda reading: "<answer>[1]</answer>", keep=0) as endpoint:
    print(endpoint.url, flush=True)
    sys.stdin.read()
"""


def conversation(pictures: int) -> Conversation:
    """A window of smooth random pictures, 1024x768, shown at 512 patches each."""
    from PIL import Image

    random = np.random.default_rng(0)
    documents = []
    for at in range(pictures):
        coarse = Image.fromarray(random.integers(0, 255, (48, 64, 3), dtype=np.uint8))
        image = from_pil(coarse.resize((1024, 768), Image.Resampling.BICUBIC))
        documents.append(Document(f"d{at}", f"caption of picture {at}", image))
    window = Window(Query("a query of a few words"), tuple(Candidate(one, 0.0, 1) for one in documents))
    sizes = {one.image: (1024, 768) for one in documents if one.image is not None}
    toolbox = default_toolbox()
    gallery = number_pictures(window, sizes, Wire())
    return Conversation(window, render_window(window, gallery, toolbox, 2, Wire()))


def clients(url: str, asked: Conversation) -> tuple[dict[str, Callable[[], object]], int, float]:
    """What is measured by name, the bytes of one request, and the milliseconds of the first, which encodes."""
    policy = ChatPolicy(url, "fake", environment={})
    started = time.process_time()
    policy.complete([asked])
    first = (time.process_time() - started) * 1e3
    body = policy._writer.write(asked).body
    document = json.loads(body)
    measured: dict[str, Callable[[], object]] = {
        "vretrver ChatPolicy": lambda: policy.complete([asked]),
        "  of it: writing the body": lambda: policy._writer.write(asked),
    }
    address, headers = f"{url}/chat/completions", {"Content-Type": "application/json"}
    for name in ("httpx", "httpx2"):
        if importlib.util.find_spec(name) and importlib.util.find_spec("orjson"):
            measured[f"{name} + orjson"] = _httpx(name, address, headers, document)
    if importlib.util.find_spec("openai"):
        measured["openai SDK"] = _openai(url, document)
    return measured, len(body), first


def _httpx(name: str, address: str, headers: dict[str, str], document: dict[str, Any]) -> Callable[[], object]:
    client = importlib.import_module(name).Client()
    orjson = importlib.import_module("orjson")
    return lambda: orjson.loads(client.post(address, content=orjson.dumps(document), headers=headers).content)


def _openai(url: str, document: dict[str, Any]) -> Callable[[], object]:
    client = importlib.import_module("openai").OpenAI(base_url=url, api_key="none", max_retries=0)
    return lambda: client.chat.completions.create(**document)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--pictures", type=int, default=20)
    options = parser.parse_args()
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None and server.stdin is not None
    try:
        measured, size, first = clients(server.stdout.readline().strip(), conversation(options.pictures))
        spent: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(options.calls + 5):
            for name, call in measured.items():
                started = time.process_time()
                call()
                spent[name].append((time.process_time() - started) * 1e3)
    finally:
        server.stdin.close()
        server.wait(10)
    print(f"{options.pictures} pictures, {size / 1e6:.2f} MB a request, {options.calls} calls each, interleaved")
    print(f"Python {platform.python_version()}, {platform.machine()}; the first call, which encodes: {first:.0f} ms")
    for name, times in spent.items():
        kept = sorted(times[5:])
        print(f"{name:28} {statistics.median(kept):6.2f} ms CPU median, {kept[int(0.95 * len(kept))]:6.2f} p95")


if __name__ == "__main__":
    main()
