"""When to ask again: retries with full jitter, Retry-After, a total deadline and a circuit breaker.

Full jitter: the n-th wait is uniform in 0..min(cap, backoff * 2^n) seconds, so that clients which failed together do
not come back together (Brooker, Exponential Backoff And Jitter, 2015).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from vretrver.errors import InvalidInput, PolicyError
from vretrver.policies.chat.faults import Fault

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one answer may cost in time and attempts. All times in seconds.

    Args:
        deadline: for one answer in all, waits between attempts included.
        connect: for a connection.
        read: the longest silence of a server. Nothing is streamed, so a whole generation is one silence.
        retries: attempts after the first.
        backoff, longest_wait: the first wait is at most `backoff`, and each later one twice the one before, up to
            `longest_wait`, which caps Retry-After too.
        concurrency: requests at the same time.
        failures: transport failures in a row after which the server is left alone; 0 never does that.
        cooldown: how long it is left alone; then one request tries whether it is back.

    Raises:
        InvalidInput: a number is out of range.
    """

    deadline: float = 300.0
    connect: float = 5.0
    read: float = 150.0
    retries: int = 6
    backoff: float = 0.5
    longest_wait: float = 60.0
    concurrency: int = 8
    failures: int = 5
    cooldown: float = 15.0

    def __post_init__(self) -> None:
        positive = {"deadline": self.deadline, "connect": self.connect, "read": self.read}
        least = {
            "retries": self.retries, "backoff": self.backoff, "longest_wait": self.longest_wait,
            "failures": self.failures, "cooldown": self.cooldown, "concurrency": self.concurrency - 1,
        }  # fmt: skip
        wrong = [name for name, value in positive.items() if not 0 < value < float("inf")]
        wrong += [name for name, value in least.items() if not 0 <= value < float("inf")]
        if wrong:
            raise InvalidInput(
                f"Limits.{wrong[0]} is {getattr(self, wrong[0])}; times are above 0 and finite, waits and counts 0 or "
                "more, concurrency 1 or more"
            )


class Clock(Protocol):
    """The time, for whoever waits. `testing.FakeClock` waits for nobody."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def time(self) -> float:
        """Seconds since 1970, to read an HTTP date against."""
        ...

    def sleep(self, seconds: float, stop: threading.Event) -> None:
        """Wait, but no longer than until `stop` is set."""
        ...


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()

    def sleep(self, seconds: float, stop: threading.Event) -> None:
        stop.wait(seconds)


@dataclass(frozen=True, slots=True)
class Pass:
    """Permission for one exchange: how many failures had been counted when it began, and whether it is a probe."""

    counted: int
    probe: bool = False


class Breaker:
    """Leaves a server alone that does not answer at all.

    Closed, everything passes. After `failures` transport failures in a row it opens and nothing passes for `cooldown`
    seconds. Then it is half open: one request passes, and its outcome closes it or opens it again.

    Failures of exchanges that ran side by side count as one: a server that hangs up on eight requests at the same
    moment has failed once.
    """

    def __init__(self, failures: int, cooldown: float, clock: Clock) -> None:
        self._failures, self._cooldown, self._clock = failures, cooldown, clock
        self._lock = threading.Lock()
        self._row = self._counted = 0
        self._until: float | None = None  # None: closed
        self._probing = False
        self._cause = ""

    @property
    def is_open(self) -> bool:
        return self._until is not None

    def enter(self) -> Pass:
        """Raises:
        Fault: it is open; kind `open`.
        """
        with self._lock:
            if self._until is None:
                return Pass(self._counted)
            if self._until > self._clock.monotonic() or self._probing:
                raise Fault(
                    "open", f"the server has not answered {self._row} times in a row and is left alone: {self._cause}"
                )
            self._probing = True
            return Pass(self._counted, probe=True)

    def forget(self, entered: Pass) -> None:
        """As if the exchange had not been begun: how it ended says nothing of the server."""
        with self._lock:
            if entered.probe:
                self._probing = False

    def leave(self, entered: Pass, fault: Fault | None) -> None:
        """Tell how an exchange that had entered ended."""
        with self._lock:
            if entered.probe:
                self._probing = False
            if fault is None or fault.kind != "transport":
                self._row, self._until = 0, None
            elif entered.counted == self._counted:
                self._counted += 1
                self._row += 1
                self._cause = str(fault)
                if self._failures and self._row >= self._failures:
                    self._until = self._clock.monotonic() + self._cooldown


class Retrier:
    """Runs attempts until one succeeds, the attempts or the time are used up, or another would be no use."""

    def __init__(self, limits: Limits, clock: Clock, jitter: random.Random) -> None:
        self._limits, self._clock, self._jitter = limits, clock, jitter
        self.breaker = Breaker(limits.failures, limits.cooldown, clock)

    def run(
        self,
        attempt: Callable[[float, int], Answer],
        where: str,
        stop: threading.Event | None = None,
        seconds: float | None = None,
    ) -> Answer:
        """The first answer.

        Args:
            attempt: one exchange, given the seconds that are left and how many came before it; raises Fault.
            where: what the error calls the server.
            stop: no further attempt is made once it is set.
            seconds: how long the answer is of use, where that is less than the deadline.

        Raises:
            PolicyError: no attempt succeeded; the message holds the last cause in one line.
        """
        stop = threading.Event() if stop is None else stop
        within = self._limits.deadline if seconds is None else min(seconds, self._limits.deadline)
        end = self._clock.monotonic() + within
        tried = 0
        while True:
            try:
                return self._once(attempt, end, tried, hurried=within < self._limits.deadline)
            except Fault as fault:
                tried += fault.kind != "open"
                if not fault.again or stop.is_set():
                    raise PolicyError(f"{where}: {fault}") from None
                if tried > self._limits.retries:
                    raise PolicyError(f"{where}: {fault} (tried {tried} times)") from None
                wait = self._wait(fault, tried - 1)
                if self._clock.monotonic() + wait >= end:
                    raise PolicyError(
                        f"{where}: {fault} (tried {tried} times; another wait of {wait:.1f} s would pass the deadline "
                        f"of {within:g} s)"
                    ) from None
                self._clock.sleep(wait, stop)
                if stop.is_set():
                    raise PolicyError(f"{where}: {fault} (interrupted)") from None

    def _once(self, attempt: Callable[[float, int], Answer], end: float, tried: int, hurried: bool) -> Answer:
        entered = self.breaker.enter()
        fault: Fault | None = Fault("transport", "interrupted")
        try:
            answer = attempt(end - self._clock.monotonic(), tried)
            fault = None
            return answer
        except Fault as known:
            fault = known
            raise
        finally:
            # A server is not down because somebody else had no time to wait for it.
            if fault is not None and hurried and self._clock.monotonic() >= end:
                self.breaker.forget(entered)
            else:
                self.breaker.leave(entered, fault)

    def _wait(self, fault: Fault, number: int) -> float:
        """Seconds to wait after the fault of attempt `number`, from 0."""
        longest = min(self._limits.longest_wait, self._limits.backoff * 2.0 ** min(number, 30))
        jitter = self._jitter.uniform(0, longest)
        if fault.retry_after is None:
            return jitter
        # A little more than was asked for: clients turned away together must not come back together.
        return min(fault.retry_after, self._limits.longest_wait) + min(jitter, self._limits.backoff)
