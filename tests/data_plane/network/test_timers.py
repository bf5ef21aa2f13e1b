"""The timer wheel: never early, cancelled for good, one wake-up for many deadlines."""

import asyncio

from minimesh.data_plane.network.timers import TimerWheel


async def test_deadlines_come_in_order_and_not_early() -> None:
    loop = asyncio.get_running_loop()
    wheel = TimerWheel(loop)
    done = asyncio.Event()
    seen: list[tuple[str, float]] = []
    start = loop.time()
    for name, delay_s in (("b", 0.03), ("a", 0.01), ("c", 0.05)):
        wheel.call_after(delay_s, lambda name=name: seen.append((name, loop.time() - start)))  # type: ignore[misc]
    cancelled = wheel.call_after(0.02, lambda: seen.append(("never", 0.0)))
    cancelled.cancel()
    cancelled.cancel()
    wheel.call_after(0.06, done.set)
    await asyncio.wait_for(done.wait(), 2)
    assert [name for name, _ in seen] == ["a", "b", "c"]
    assert all(at >= delay_s - 0.002 for (_, at), delay_s in zip(seen, (0.01, 0.03, 0.05), strict=True))
    wheel.close()


async def test_a_callback_may_set_another() -> None:
    wheel = TimerWheel(asyncio.get_running_loop())
    done = asyncio.Event()
    wheel.call_after(0.0, lambda: wheel.call_after(0.0, done.set) and None)
    await asyncio.wait_for(done.wait(), 2)
    wheel.close()
