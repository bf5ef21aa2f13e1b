"""The arithmetic of rolling updates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimesh.config.kubernetes.apps import DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment
from minimesh.kubernetes.controllers.rollout import Limits, Replicas, limits, rolling_step


def spec(
    replicas: int, surge: int | str | None = None, unavailable: int | str | None = None
) -> DeploymentSpec:
    rolling = RollingUpdateDeployment(max_surge=surge, max_unavailable=unavailable)
    return DeploymentSpec(replicas=replicas, strategy=DeploymentStrategy(rolling_update=rolling))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (DeploymentSpec(replicas=1), Limits(1, 0)),
        (DeploymentSpec(replicas=10), Limits(3, 2)),
        (spec(4, "50%", "0%"), Limits(2, 0)),
        (spec(3, 0, 0), Limits(0, 1)),
        (spec(3, "0%", "10%"), Limits(0, 1)),
        (spec(2, 1, 5), Limits(1, 2)),
        (DeploymentSpec(replicas=3, strategy=DeploymentStrategy(type="Recreate")), Limits(0, 3)),
    ],
)
def test_shares_round_so_that_there_is_more_rather_than_less(asked: DeploymentSpec, expected: Limits) -> None:
    assert limits(asked) == expected


def test_the_new_one_grows_first_and_the_old_one_shrinks_when_that_costs_nothing() -> None:
    allowed = Limits(1, 0)
    old = [Replicas("old", 2, 2)]
    assert rolling_step(2, allowed, Replicas("new", 0, 0), old) == {"new": 1}
    assert rolling_step(2, allowed, Replicas("new", 1, 0), old) == {}
    assert rolling_step(2, allowed, Replicas("new", 1, 1), old) == {"old": 1}


def test_old_pods_that_do_not_work_go_at_once() -> None:
    old = [Replicas("old", 3, 1)]
    assert rolling_step(3, Limits(1, 1), Replicas("new", 1, 0), old) == {"old": 2}


@given(
    wanted=st.integers(0, 12),
    surge=st.integers(0, 5),
    unavailable=st.integers(0, 5),
    numbers=st.lists(st.integers(0, 12), max_size=3),
    data=st.data(),
)
def test_a_rollout_ends_and_keeps_to_its_limits(
    wanted: int, surge: int, unavailable: int, numbers: list[int], data: st.DataObject
) -> None:
    """In whatever order pods become ready: never too many, never fewer than there were or may be."""
    allowed = Limits(surge, min(unavailable, wanted)) if surge or unavailable else Limits(0, 1)
    wants = {"new": 0, **{f"old{index}": number for index, number in enumerate(numbers)}}
    ready = {**wants}
    most = max(wanted + allowed.surge, sum(wants.values()))
    for _ in range(200):
        old = [Replicas(name, wants[name], ready[name]) for name in wants if name != "new"]
        step = rolling_step(wanted, allowed, Replicas("new", wants["new"], ready["new"]), old)
        before = sum(ready.values())
        wants |= step
        ready = {name: min(ready[name], wants[name]) for name in wants}
        least = min(before, wanted - allowed.unavailable)
        assert sum(wants.values()) <= most
        assert sum(ready.values()) >= least
        if not step and ready == wants:
            break
        starting = [name for name in wants if ready[name] < wants[name]]
        if starting and (not step or data.draw(st.booleans())):
            ready[data.draw(st.sampled_from(starting))] += 1
    assert wants == {"new": wanted, **{name: 0 for name in wants if name != "new"}}
