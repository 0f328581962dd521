"""Some work for each of several items, in threads, that ends at once when it is interrupted and loses nothing done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    most: int,
    cut: Callable[[], None],
    save: Callable[[list[Result]], None],
) -> list[Result]:
    """The results, in order.

    Args:
        work: what is done; raises nothing.
        most: how many at a time.
        cut: ends what is running. save: takes what was done. Both are for Ctrl-C, which goes on to the caller.
    """
    if len(items) <= 1 or most == 1:
        return [work(item) for item in items]
    pool = ThreadPoolExecutor(min(most, len(items)), "vretrver-chat")
    running = [pool.submit(work, item) for item in items]
    try:
        return [one.result() for one in running]
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        cut()
        pool.shutdown()
        save([one.result() for one in running if not one.cancelled()])
        raise
    finally:
        pool.shutdown()
