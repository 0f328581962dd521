"""The OpenAPI document against the real server: thousands of generated requests, valid and not, over a socket.

    python runs/server/schema.py --requests 10000 -o schema.json

Every answer is checked: no server error, and status, content type, headers and body as the document says; nothing
that it forbids is taken, nothing that it allows is refused. `tests/test_server_schema.py` sends a few hundred.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import math
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as bounded
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from PIL import Image
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection


def picture(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


COLOURS = st.tuples(*[st.integers(0, 255)] * 3)
schemathesis.openapi.format(
    "image", COLOURS.map(lambda colour: "data:image/png;base64," + base64.b64encode(picture(colour)).decode())
)
for kind in ("jpeg", "png", "webp", "gif", "tiff", "bmp"):
    schemathesis.openapi.media_type(f"image/{kind}", COLOURS.map(picture))


def check(url: str, requests: int, first_seed: int = 0) -> Counter[str]:
    """Send about so many requests, spread over all operations; how many came to which status.

    Raises:
        AssertionError, or schemathesis' own: an answer is not as the document says.
    """
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    sent: Counter[str] = Counter()
    shares = [_share(operation) for operation in operations]
    whole = requests / (2 * sum(shares))  # half of them as they should be, half as they should not
    for operation, share in zip(operations, shares, strict=True):
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            _check(operation, mode, math.ceil(share * whole), first_seed, sent)
    return sent


def _share(operation: Any) -> float:
    """How many of the requests an operation gets: few where nothing varies, or where each is a write to disk."""
    if not {"parameters", "requestBody"} & operation.definition.raw.keys():
        return 0.01
    return 0.1 if (operation.method.upper(), operation.path) == ("POST", "/v1/documents") else 1.0


def _check(operation: Any, mode: Any, count: int, first_seed: int, sent: Counter[str]) -> None:
    @seed(first_seed)
    @bounded(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        answer = case.call(timeout=60)
        sent[f"{operation.method.upper()} {operation.path} {answer.status_code}"] += 1
        # A form has no types: the number 5 and the text "5" arrive as the same bytes, and neither is wrong.
        typeless = case.media_type == "multipart/form-data"
        case.validate_response(answer, excluded_checks=[negative_data_rejection] if typeless else [])

    with suppress(Unsatisfiable):  # an operation without parameters cannot be called wrongly
        one()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
    import tempfile

    from conftest import MeanColour
    from served import Served, agent, cards
    from vretrver.answering import Writer
    from vretrver.policies.scripted import ScriptedPolicy
    from vretrver.reranker import Reranker
    from vretrver.server import Settings, app
    from vretrver.usage import Prices

    with tempfile.TemporaryDirectory() as scratch:
        writer = Writer(ScriptedPolicy(["<answer>A card [1].</answer>"]), prices=Prices(1, 1))
        settings = Settings(policy=Reranker(agent(), prices=Prices(1, 1)), answers=writer)
        application = app(cards(Path(scratch)), settings, embedder=MeanColour())
        with Served(application) as server:
            started = time.perf_counter()
            sent = check(server.url, options.requests)
            seconds = time.perf_counter() - started
    print(f"{sent.total()} requests in {seconds:.0f} s, 0 server errors, 0 violations")
    for line, count in sorted(sent.items()):
        print(f"{count:>6}  {line}")
    if options.output:
        options.output.write_text(json.dumps({"seconds": round(seconds), "sent": sent}, indent=1))


if __name__ == "__main__":
    main()
