"""Work that waits its turn: a bounded queue, and threads that take what waits in batches.

The queue is bounded in jobs and in bytes; who comes too late is told when to come back. A job whose client has left
or whose time is over is dropped before it costs anything. What a job does is the caller's.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from vretrver.server.faults import busy, late

Job = TypeVar("Job")
Answer = TypeVar("Answer")
_STEADY = 0.8  # how much of the remembered pace is kept at each batch


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Job, Answer]):
    job: Job
    group: Hashable
    weight: int
    deadline: float
    seconds: float
    future: Future[Answer] = field(default_factory=Future)


class Workers(Generic[Job, Answer]):
    """Threads that do jobs.

    Args:
        work: answers a batch of jobs of one group, in order; a batch that fails is tried again one by one.
        name: of the threads.
        threads: how many batches run at the same time.
        batch: most jobs in one.
        waiting: most jobs in the queue; `weight`: most weight (bytes) in it and at work.
        done: told of every batch: its jobs and seconds.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Job]], Sequence[Answer]],
        name: str,
        *,
        threads: int,
        batch: int,
        waiting: int,
        weight: int,
        done: Callable[[int, float], None] = lambda _jobs, _seconds: None,
    ) -> None:
        self._work, self._batch, self._most, self._heaviest, self._done = work, batch, waiting, weight, done
        self._queue: deque[_Waiting[Job, Answer]] = deque()
        self._changed = threading.Condition()
        self._weight = 0
        self._pace = 0.5  # seconds a job
        self._closed = False
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        """Jobs in the queue."""
        return len(self._queue)

    def submit(self, job: Job, *, group: Hashable = None, weight: int = 0, seconds: float = 60.0) -> Future[Answer]:
        """Queue a job; cancel the future to drop it while it waits.

        Args:
            group: only jobs of the same group run in one batch.
            weight: bytes that it holds.
            seconds: after which it is dropped if it still waits.

        Raises:
            Refused: 429, the queue is full.
        """
        with self._changed:
            self.check_room(weight)
            self._weight += weight
            waiting = _Waiting[Job, Answer](job, group, weight, time.monotonic() + seconds, seconds)
            self._queue.append(waiting)
            self._changed.notify()
        return waiting.future

    def check_room(self, weight: int = 0) -> None:
        """Whether one more job would be taken.

        Raises:
            Refused: 429, the queue is full.
        """
        if self._closed:
            raise busy(5, "the server is stopping")
        if len(self._queue) >= self._most or self._weight + weight > self._heaviest:
            raise busy(len(self._queue) * self._pace / len(self._threads))

    def close(self) -> None:
        """Finish what runs, refuse what waits, and end the threads."""
        with self._changed:
            self._closed = True
            left, self._queue = list(self._queue), deque()
            self._changed.notify_all()
        for one in left:
            if one.future.set_running_or_notify_cancel():
                one.future.set_exception(busy(5, "the server is stopping"))
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while batch := self._taken():
            started = time.monotonic()
            try:
                self._answer(batch)
            finally:
                seconds = time.monotonic() - started
                with self._changed:
                    self._weight -= sum(one.weight for one in batch)
                    self._pace = _STEADY * self._pace + (1 - _STEADY) * seconds / len(batch)
                self._done(len(batch), seconds)

    def _taken(self) -> list[_Waiting[Job, Answer]]:
        """The next batch, the oldest job first; empty at the end."""
        while True:
            with self._changed:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if not self._queue:
                    return []
                first = self._queue.popleft()
                batch = [first]
                if self._batch > 1:
                    for one in [one for one in self._queue if one.group == first.group][: self._batch - 1]:
                        self._queue.remove(one)
                        batch.append(one)
                live = [one for one in batch if self._is_wanted(one)]
                self._weight -= sum(one.weight for one in batch) - sum(one.weight for one in live)
            if live:
                return live

    def _is_wanted(self, one: _Waiting[Job, Answer]) -> bool:
        if not one.future.set_running_or_notify_cancel():
            return False
        if time.monotonic() > one.deadline:
            one.future.set_exception(late(one.seconds))
            return False
        return True

    def _answer(self, batch: Sequence[_Waiting[Job, Answer]]) -> None:
        try:
            answers = self._work([one.job for one in batch])
        except BaseException as fault:
            if len(batch) > 1:  # one bad job must not cost the others theirs
                for one in batch:
                    self._answer([one])
                return
            with suppress(InvalidStateError):
                batch[0].future.set_exception(fault)
            return
        for one, answer in zip(batch, answers, strict=True):
            with suppress(InvalidStateError):
                one.future.set_result(answer)
