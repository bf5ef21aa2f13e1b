"""Traffic that somebody looks at: told while they look, bounded, and by proxies of either make."""

from __future__ import annotations

import pytest

from minimesh.control_plane.discovery.traffic_watch import (
    DENOMINATOR,
    LIMIT_PER_S,
    WAITING_ENTRIES,
    TrafficWatch,
    share_within_limit,
)


async def test_proxies_are_to_tell_only_while_somebody_looks() -> None:
    shares: list[int] = []
    watch = TrafficWatch(shares.append)
    assert watch.share == 0
    first, second = watch.watch(), watch.watch()
    watch.leave(first)
    assert shares == [DENOMINATOR]
    watch.leave(second)
    assert shares == [DENOMINATOR, 0]


async def test_everyone_who_looks_is_told() -> None:
    watch = TrafficWatch(lambda share: None)
    watchers = [watch.watch(), watch.watch()]
    watch.tell("entry")
    assert [list(each.entries) for each in watchers] == [["entry"], ["entry"]]
    watch.stop()


async def test_who_is_too_slow_loses_the_oldest_and_is_told_how_many() -> None:
    watch = TrafficWatch(lambda share: None)
    watcher = watch.watch()
    for number in range(WAITING_ENTRIES + 3):
        watch.tell(number)
    assert watcher.missed == 3
    assert watcher.entries[0] == 3
    watch.stop()


@pytest.mark.parametrize(
    ("share", "told_per_s", "then"),
    [
        (DENOMINATOR, 10 * LIMIT_PER_S, DENOMINATOR // 10),
        (DENOMINATOR // 10, LIMIT_PER_S, DENOMINATOR // 10),
        (DENOMINATOR // 10, 1.1 * LIMIT_PER_S, DENOMINATOR // 10),
        (DENOMINATOR // 10, LIMIT_PER_S / 2, DENOMINATOR // 5),
        (DENOMINATOR // 10, 0, DENOMINATOR),
        (DENOMINATOR, LIMIT_PER_S / 2, DENOMINATOR),
        (1, 1e9, 1),
    ],
)
def test_the_share_keeps_to_the_limit(share: int, told_per_s: float, then: int) -> None:
    assert share_within_limit(share, told_per_s) == then
