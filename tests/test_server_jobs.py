"""Work that waits its turn: batches, bounds, jobs nobody wants any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import Any

import pytest

from vretrver.server.faults import Refused
from vretrver.server.jobs import Workers


class Work:
    """Doubles numbers once it may; fails on 13."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_go = threading.Event()
        self.going = threading.Event()

    def __call__(self, jobs: Sequence[int]) -> list[int]:
        self.batches.append(list(jobs))
        self.going.set()
        assert self.may_go.wait(10)
        if 13 in jobs:
            raise ValueError("13")
        return [2 * job for job in jobs]


def workers(work: Work, **options: Any) -> Workers[int, int]:
    return Workers(work, "test", **{"threads": 1, "batch": 4, "waiting": 8, "weight": 100} | options)


def test_what_waits_is_taken_in_batches_of_a_group_the_oldest_first() -> None:
    work = Work()
    pool = workers(work)
    first = pool.submit(1)
    assert work.going.wait(5)
    rest = [pool.submit(job, group=job % 2) for job in (2, 3, 4, 5, 6, 8, 10)]
    work.may_go.set()
    assert first.result(5) == 2 and [one.result(5) for one in rest] == [4, 6, 8, 10, 12, 16, 20]
    assert work.batches == [[1], [2, 4, 6, 8], [3, 5], [10]]
    pool.close()


def test_one_bad_job_costs_the_others_nothing() -> None:
    work = Work()
    pool = workers(work)
    pool.submit(0)
    assert work.going.wait(5)
    jobs = [pool.submit(job) for job in (1, 13, 2)]
    work.may_go.set()
    assert jobs[0].result(5) == 2 and jobs[2].result(5) == 4
    with pytest.raises(ValueError, match="13"):
        jobs[1].result(5)
    pool.close()


def test_the_queue_is_bounded_in_jobs_and_in_weight() -> None:
    work = Work()
    pool = workers(work, waiting=2)
    running = pool.submit(1, weight=60)
    assert work.going.wait(5)
    with pytest.raises(Refused, match="full") as caught:
        pool.submit(2, weight=50)
    assert caught.value.status == 429 and int(caught.value.headers["Retry-After"]) >= 1
    waiting = [pool.submit(2, weight=20), pool.submit(3, weight=20)]
    assert len(pool) == 2
    with pytest.raises(Refused):
        pool.submit(4)
    with pytest.raises(Refused):
        pool.check_room()
    work.may_go.set()
    assert [one.result(5) for one in (running, *waiting)] == [2, 4, 6]
    pool.check_room(100)  # all weight is given back
    pool.close()


def test_jobs_nobody_wants_are_dropped_unseen() -> None:
    work = Work()
    pool = workers(work)
    pool.submit(1)
    assert work.going.wait(5)
    left, late, wanted = pool.submit(2, weight=90), pool.submit(3, seconds=0.01), pool.submit(4)
    left.cancel()
    time.sleep(0.05)
    work.may_go.set()
    assert wanted.result(5) == 8
    with pytest.raises(CancelledError):
        left.result(5)
    with pytest.raises(Refused, match="within"):
        late.result(5)
    assert work.batches == [[1], [4]]
    pool.close()


def test_closing_finishes_what_runs_and_refuses_what_waits() -> None:
    work = Work()
    pool = workers(work)
    running = pool.submit(1)
    assert work.going.wait(5)
    waiting = pool.submit(2)
    closing = threading.Thread(target=pool.close)
    closing.start()
    with pytest.raises(Refused, match="stopping"):
        waiting.result(5)
    work.may_go.set()
    closing.join(5)
    assert running.result(5) == 2
    with pytest.raises(Refused, match="stopping"):
        pool.submit(3)
