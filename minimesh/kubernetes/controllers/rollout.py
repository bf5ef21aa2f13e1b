"""The arithmetic of a rolling update: how many pods each ReplicaSet of a Deployment is to have next. Pure.

One step at a time, as Kubernetes does it: the new ReplicaSet grows as far as the surge allows, then the old
ones shrink as far as availability allows; what the pods do about it leads to the next step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minimesh.config.decimals import decimal
from minimesh.config.kubernetes.apps import DeploymentSpec

DEFAULT_SHARE = "25%"


@dataclass(frozen=True, slots=True)
class Replicas:
    """One ReplicaSet in numbers: pods asked for, and pods available."""

    name: str
    wanted: int
    available: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How many pods may be there beyond those wanted, and how many may be missing."""

    surge: int
    unavailable: int


def limits(spec: DeploymentSpec) -> Limits:
    """The limits of a Deployment's strategy in pods."""
    if spec.strategy is not None and spec.strategy.type == "Recreate":
        return Limits(0, spec.replicas)
    rolling = spec.strategy.rolling_update if spec.strategy is not None else None
    surge = _pods(rolling.max_surge if rolling else None, spec.replicas, round_up=True)
    unavailable = _pods(rolling.max_unavailable if rolling else None, spec.replicas, round_up=False)
    if not surge and not unavailable:
        # With neither there would be no step to take.
        return Limits(0, 1)
    return Limits(surge, min(unavailable, spec.replicas))


def _pods(share: int | str | None, replicas: int, *, round_up: bool) -> int:
    given = DEFAULT_SHARE if share is None else share
    if isinstance(given, int):
        return max(0, given)
    hundredths = (decimal(given.removesuffix("%").strip()) or 0) * replicas
    return -(-hundredths // 100) if round_up else hundredths // 100


def rolling_step(wanted: int, allowed: Limits, new: Replicas, old: Sequence[Replicas]) -> dict[str, int]:
    """The ReplicaSets whose number changes now, by name; `old` from the oldest."""
    grown = _new_number(wanted, allowed, new, old)
    if grown != new.wanted:
        return {new.name: grown}
    return _shrunk(wanted, allowed, new, old)


def _new_number(wanted: int, allowed: Limits, new: Replicas, old: Sequence[Replicas]) -> int:
    if new.wanted >= wanted:
        return wanted
    room = wanted + allowed.surge - new.wanted - sum(each.wanted for each in old)
    return new.wanted + max(0, min(room, wanted - new.wanted))


def _shrunk(wanted: int, allowed: Limits, new: Replicas, old: Sequence[Replicas]) -> dict[str, int]:
    """First old pods that are of no use, then as many others as may be missing."""
    least = wanted - allowed.unavailable
    every = new.wanted + sum(each.wanted for each in old)
    budget = every - least - max(0, new.wanted - new.available)
    if budget <= 0:
        return {}
    numbers = {each.name: each.wanted for each in old}
    for each in old:
        useless = min(budget, max(0, each.wanted - each.available))
        numbers[each.name] -= useless
        budget -= useless
    spare = new.available + sum(each.available for each in old) - least
    for each in old:
        taken = max(0, min(spare, budget, numbers[each.name]))
        numbers[each.name] -= taken
        spare -= taken
        budget -= taken
    return {each.name: numbers[each.name] for each in old if numbers[each.name] != each.wanted}
