"""Load: coarse searches of 1, 8 and 64 clients on 100,000 rows beside plain FastAPI + FAISS; memory of a full queue.

    python -m runs.server.load [--rows 100000] [--seconds 10] [--rounds 3] [-o load.json]

Both servers run in processes of their own, with ready random vectors in place of an embedder, and are asked in turn by
the same client: closed loops over kept connections. Ours reads an index on disk and fuses vectors with words; the other
holds the vectors in `IndexFlatIP`, the texts in a list, and does nothing else. Then 1,000 reranks are queued behind a
policy that does not answer, memory is read, and the policy is let go. Prints Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel
from runs.bench_index import WORDS, Ready, build

from vretrver.indexes import load_index

CLIENTS = (1, 8, 64)
QUEUED = 1000


class Body(BaseModel):
    """What the plain server takes."""

    text: str
    k: int = 10


# -- the servers, each in a process of its own -------------------------------------------------------------------


def ours(index: Path, dim: int) -> Any:
    from vretrver.server import Settings, app

    return app(index, Settings(policy="none"), embedder=Ready(dim))


def plain(index: Path, dim: int) -> Any:
    """What one writes first: FastAPI, FAISS, a list."""
    import faiss
    from fastapi import FastAPI

    from vretrver.types import Query

    snapshot = load_index(index).snapshot
    flat = faiss.IndexFlatIP(dim)
    flat.add(np.array(snapshot.vectors))
    rows = snapshot.rows.to_pylist()
    embedder, made = Ready(dim), FastAPI()

    @made.post("/v1/search")
    def search(body: Body) -> dict[str, Any]:
        scores, found = flat.search(embedder.encode([Query(body.text)]), body.k)
        ranked = zip(found[0].tolist(), scores[0].tolist(), strict=True)
        return {"results": [{"id": rows[row]["id"], "text": rows[row]["text"], "score": s} for row, s in ranked]}

    return made


def waiting(index: Path, dim: int) -> Any:
    """Ours with a policy that answers once the process is told to."""
    from vretrver.messages import Completion, Conversation
    from vretrver.policies.scripted import ScriptedPolicy
    from vretrver.protocol import render_answer
    from vretrver.server import Settings, app

    may_go = threading.Event()

    def answer(conversation: Conversation) -> Completion:
        may_go.wait()
        return Completion(render_answer(range(len(conversation.window.candidates)), "Told to."))

    def listen() -> None:
        sys.stdin.readline()
        may_go.set()

    threading.Thread(target=listen, daemon=True).start()
    settings = Settings(policy=ScriptedPolicy(answer), queue=QUEUED, seconds=3600)
    return app(index, settings, embedder=Ready(dim))


def serve(kind: str, index: Path, dim: int) -> None:
    import socket

    import uvicorn

    made = {"ours": ours, "plain": plain, "waiting": waiting}[kind](index, dim)
    sock = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(sock.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(made, log_level="warning", access_log=False)).run([sock])


@contextmanager
def running(kind: str, index: Path, dim: int) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "runs.server.load", "--serve", kind, "--index", str(index), "--dim", str(dim)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.terminate()


# -- the client ---------------------------------------------------------------------------------------------------


async def request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes) -> int:
    """One POST over a kept connection; the status."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.split(b":")[1]))
    return int(answer.split(b" ", 2)[1])


async def client(port: int, until: float, seed: int, taken: list[float]) -> None:
    rng = np.random.default_rng(seed)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (started := time.perf_counter()) < until:
        text = " ".join(WORDS[word] for word in rng.zipf(1.3, size=4) % len(WORDS))
        status = await request(reader, writer, "/v1/search", json.dumps({"text": text, "k": 10}).encode())
        assert status == 200, status
        taken.append(time.perf_counter() - started)
    writer.close()


def load(port: int, clients: int, seconds: float) -> tuple[list[float], float]:
    """Seconds of every request that so many closed loops began in that time, and how long all took."""
    taken: list[float] = []

    async def all_of_them() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(client(port, until, seed, taken) for seed in range(clients)))

    started = time.perf_counter()
    asyncio.run(all_of_them())
    return taken, time.perf_counter() - started


# -- the measurements ---------------------------------------------------------------------------------------------


def searches(index: Path, dim: int, seconds: float, rounds: int) -> list[dict[str, Any]]:
    taken: dict[tuple[str, int], list[tuple[list[float], float]]] = {}
    with running("ours", index, dim) as (our_port, _), running("plain", index, dim) as (plain_port, _):
        for port in (our_port, plain_port):
            load(port, 2, 1.0)  # to warm up
        for _ in range(rounds):
            for clients in CLIENTS:
                for kind, port in (("ours", our_port), ("plain", plain_port)):
                    taken.setdefault((kind, clients), []).append(load(port, clients, seconds))
    rows = []
    for (kind, clients), found in taken.items():
        every = sorted(one for times, _wall in found for one in times)
        rates = [len(times) / wall for times, wall in found]
        row = {"server": kind, "clients": clients, "rate": statistics.median(rates), "rates": rates}
        row |= {f"p{p}": 1000 * every[min(len(every) - 1, len(every) * p // 100)] for p in (50, 95)}
        rows.append(row)
    return rows


def queue(index: Path, dim: int) -> dict[str, float]:
    """Memory before, with 1,000 reranks of twenty texts waiting, and after; how the next one was answered."""
    body = json.dumps({"query": "a red kite", "documents": [f"{n} " + "words " * 40 for n in range(20)]}).encode()

    async def one(port: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        status = await request(reader, writer, "/v1/rerank", body)
        writer.close()
        return status

    async def all_of_them(port: int, process: subprocess.Popen[str]) -> dict[str, float]:
        assert process.stdin is not None
        before = resident(process.pid)
        jobs = [asyncio.ensure_future(one(port))]
        await asyncio.sleep(2)  # it is at work now, and waits
        jobs += [asyncio.ensure_future(one(port)) for _ in range(QUEUED)]
        await asyncio.sleep(10)
        full, refused = resident(process.pid), await one(port)
        process.stdin.write("go\n")
        process.stdin.flush()
        started = time.perf_counter()
        statuses = await asyncio.gather(*jobs)
        drained = time.perf_counter() - started
        return {
            "before_mb": before, "full_mb": full, "after_mb": resident(process.pid), "next": refused,
            "answered": statuses.count(200), "drain_seconds": drained,
        }  # fmt: skip

    with running("waiting", index, dim) as (port, process):
        return asyncio.run(all_of_them(port, process))


def resident(pid: int) -> float:
    """Private and shared memory of a process that is in RAM, without mapped files, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    anonymous = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(anonymous.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, help="length of a vector; lite's by default")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--index", type=Path, help="an index to use again, or where to keep the one made here")
    parser.add_argument("--serve", choices=("ours", "plain", "waiting"), help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.index, options.dim)
        return
    dim = options.dim
    if dim is None:
        from vretrver.embedders import load_embedder

        dim = load_embedder("lite").dim
    with tempfile.TemporaryDirectory() as scratch:
        index = options.index or Path(scratch) / "load.vr"
        if not index.exists():
            _ = build(index, options.rows, dim).snapshot
        rows = searches(index, dim, options.seconds, options.rounds)
        size = f"{len(load_index(index))} rows x {dim}, {os.cpu_count()} cores"
        print(f"{size}, {options.rounds} x {options.seconds:g} s each\n")
        print("| server | clients | requests/s | p50 ms | p95 ms |\n|---|---|---|---|---|")
        for row in sorted(rows, key=lambda row: (row["clients"], row["server"])):
            print(f"| {row['server']} | {row['clients']} | {row['rate']:.1f} | {row['p50']:.1f} | {row['p95']:.1f} |")
        held = queue(index, dim)
    print(
        f"\n{QUEUED} queued reranks of 20 texts: {held['before_mb']:.0f} MB before, {held['full_mb']:.0f} MB full, "
        f"{held['after_mb']:.0f} MB after; the next was answered {held['next']:.0f}, {held['answered']:.0f} of "
        f"{QUEUED + 1} with 200, drained in {held['drain_seconds']:.1f} s"
    )
    if options.output:
        options.output.write_text(json.dumps({"searches": rows, "queue": held}, indent=1))


if __name__ == "__main__":
    main()
