"""Ten thousand generated requests: what explain foretells is what our proxy then does.

`FORETELL_FACTOR=10` makes it ten times as many, by hand.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minimesh.explain.explaining import Explainer
from minimesh.explain.question import Question
from minimesh.explain.rehearsal import Rehearsals
from minimesh.explain.world import World
from minimesh.platform.images import ImageTable
from tests.foretelling.foretold import disagreements, foretold
from tests.foretelling.generation import configurations, requests
from tests.foretelling.in_memory import ProxyInMemory

FACTOR = float(os.environ.get("FORETELL_FACTOR", "1"))
REQUESTS_EACH = 40
IMAGES = ImageTable.load()
_SETTINGS = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))


@contextmanager
def explainer_of(world: World) -> Iterator[Explainer]:
    rehearsals = Rehearsals(world)
    try:
        yield Explainer(world, rehearsals)
    finally:
        rehearsals.close()


def check(configuration: str, asked: list[Question], *, causes: bool = False) -> None:
    """Every request fares as foretold."""
    world = World.of_files({"generated.yaml": configuration}, IMAGES)
    proxies: dict[str, ProxyInMemory] = {}
    try:
        with explainer_of(world) as explainer:
            for question in asked:
                found = explainer.explain(question, causes=causes)
                proxy = _proxy(world, question, proxies)
                if not proxy.listens:
                    assert found.verdict.status == 0
                    continue
                seen = proxy.send(as_bytes(question))
                said = foretold(found)
                if said.cluster != "PassthroughCluster":  # where that leads is for DNS to say
                    assert disagreements(said, seen) == [], question
    finally:
        for each in proxies.values():
            each.close()


def _proxy(world: World, question: Question, proxies: dict[str, ProxyInMemory]) -> ProxyInMemory:
    pod = world.find_pod(question.source) if question.source else world.gateways[0]
    assert pod is not None
    assert pod.proxy is not None
    if pod.name not in proxies:
        resources = world.resources_of(pod.proxy)
        proxies[pod.name] = ProxyInMemory(resources, pod.ip, pod.app_address, gateway=pod.is_gateway)
    return proxies[pod.name]


def as_bytes(question: Question) -> bytes:
    """The request as its client sends it."""
    target = f"http://{question.authority}{question.target}" if question.source else question.target
    lines = [f"{question.method} {target} HTTP/1.1", f"host: {question.authority}"]
    lines += [f"{name}: {value}" for name, value in question.headers]
    lines += ["content-length: 0"] if question.method == "POST" else []
    return "\r\n".join([*lines, "", ""]).encode()


_MANY = st.lists(requests(), min_size=REQUESTS_EACH, max_size=REQUESTS_EACH)


@settings(_SETTINGS, max_examples=5)
@given(configurations(), _MANY)
def test_a_few_fare_as_foretold(configuration: str, asked: list[Question]) -> None:
    check(configuration, asked[:10], causes=True)


@pytest.mark.slow
@settings(_SETTINGS, max_examples=int(250 * FACTOR))
@given(configurations(), _MANY)
def test_ten_thousand_fare_as_foretold(configuration: str, asked: list[Question]) -> None:
    check(configuration, asked)
