"""What was in force when, kept within bounds."""

from __future__ import annotations

import json

from minimesh.control_plane.history import History, told
from minimesh.control_plane.push_context import MeshConfig
from minimesh.explain.world import World
from tests.control_plane.labs import GATEWAY, GS_LAB, GS_PODS
from tests.control_plane.meshes import gateway_proxy, snapshot


def test_a_moment_has_the_push_before_it() -> None:
    history = History()
    first, second = snapshot(GS_LAB), snapshot(GS_LAB, GATEWAY)
    history.record(100.0, first, ())
    history.record(200.0, second, ())
    found = [history.at(moment) for moment in (99.9, 100.0, 199.9, 200.0, 300.0)]
    assert [each.snapshot if each is not None else None for each in found] == [
        None,
        first,
        first,
        second,
        second,
    ]
    assert history.latest is not None
    assert history.latest.snapshot is second


def test_a_push_that_says_the_same_is_no_news() -> None:
    history, config = History(), snapshot(GS_LAB)
    history.record(100.0, config, ())
    history.record(200.0, config, ())
    assert history.latest is not None
    assert history.latest.at == 100.0


def test_the_oldest_goes() -> None:
    history = History(limit=2)
    for number, config in enumerate((snapshot(GS_LAB), snapshot(GS_LAB, GATEWAY), snapshot(GATEWAY))):
        history.record(float(number), config, ())
    assert history.at(0.5) is None
    assert history.at(1.5) is not None


def test_what_is_told_makes_the_same_world_again() -> None:
    history, config = History(), snapshot(GS_LAB, GATEWAY, *GS_PODS)
    history.record(1.0, config, ())
    assert history.latest is not None
    said = told(history.latest, [gateway_proxy()], MeshConfig(), ())
    world = World.of_mesh(json.loads(json.dumps(said, default=str)))
    assert {each.key for each in world.snapshot.resources} == {each.key for each in config.resources}
    rule = next(iter(world.snapshot.by_kind("VirtualService")))
    assert rule.location("spec.http[0]") == next(iter(config.by_kind("VirtualService"))).location(
        "spec.http[0]"
    )
    assert [pod.is_gateway for pod in world.pods].count(True) == 1
