"""A store with controllers and a clock turned by hand; pods become ready when the test says so."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from structlog.testing import capture_logs

from minimesh.config.decoding import decode
from minimesh.config.kubernetes.pod_status import PodCondition, PodStatus
from minimesh.config.resources import Resource, ResourceKey
from minimesh.config.store import Recorder, Store
from minimesh.kubernetes.controllers.manager import Controllers, remove


class Cluster:
    """Puts, looks, and plays the node: runs pods, and takes those away that are being removed."""

    def __init__(self, recorder: Recorder | None = None) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        self.store = Store(clock=lambda: self.now, recorder=recorder)
        numbers = itertools.count()
        self.controllers = Controllers(
            self.store, lambda: self.now, lambda count: bytes([0] * (count - 1) + [next(numbers)])
        )

    def put(self, text: str, *, durable: bool = False) -> Resource:
        """Put what a manifest says; returns its last object."""
        decoded = decode(text, "test.yaml")
        assert all(each.severity != "error" for each in decoded.diagnostics), decoded.diagnostics
        stored = [self.store.put(each, durable=durable) for each in decoded.resources]
        return stored[-1]

    def change(self, kind: str, name: str, **spec: Any) -> None:
        """Change fields of an object's spec, as kubectl would."""
        found = self.get(kind, name)
        self.store.put(dataclasses.replace(found, spec=dataclasses.replace(found.spec, **spec)))

    def settle(self) -> None:
        """Let the controllers do what they want, until they agree."""
        with capture_logs() as logs:
            self.controllers.settle()
        assert logs == []

    def later(self, seconds: float) -> None:
        """Turn the clock, then let the controllers look again."""
        self.now += timedelta(seconds=seconds)
        self.settle()

    def get(self, kind: str, name: str, namespace: str = "default") -> Resource:
        found = self.store.snapshot().get(ResourceKey(kind, namespace, name))
        assert found is not None, f"there is no {kind} {name}"
        return found

    def remove(self, kind: str, name: str, *, finalizer: str = "") -> None:
        remove(self.store, ResourceKey(kind, "default", name), self.now, finalizer=finalizer)

    @property
    def pods(self) -> list[Resource]:
        """The pods that are not being removed."""
        found = self.store.snapshot().by_kind("Pod")
        return [pod for pod in found if not pod.metadata.deletion_timestamp]

    @property
    def replica_sets(self) -> list[Resource]:
        """The ReplicaSets, by revision."""
        found = self.store.snapshot().by_kind("ReplicaSet")
        return sorted(found, key=lambda each: int(each.metadata.annotations.get(REVISION, "0")))

    @property
    def numbers(self) -> list[tuple[int, int]]:
        """Of each ReplicaSet by revision: pods asked for, and pods that are ready."""
        return [(each.spec.replicas, each.status.ready_replicas) for each in self.replica_sets]

    def events(self, reason: str) -> list[str]:
        found = [each.spec for each in self.store.snapshot().by_kind("Event")]
        return [each.message for each in found if each.reason == reason]

    def condition(self, name: str, kind: str) -> tuple[str, str]:
        """Status and reason of a Deployment's condition."""
        conditions = self.get("Deployment", name).status.conditions
        return next((each.status, each.reason) for each in conditions if each.type == kind)

    def run_pods(self, which: Callable[[Resource], bool] = lambda pod: True) -> None:
        """Play the node once: pods start and become ready, those being removed end."""
        for pod in self.store.snapshot().by_kind("Pod"):
            if pod.metadata.deletion_timestamp:
                self.store.delete(pod.key)
            elif which(pod):
                self.make_ready(pod, ready=True)
        self.settle()

    def make_ready(self, pod: Resource, *, ready: bool) -> None:
        written = f"{self.now:%Y-%m-%dT%H:%M:%SZ}"
        condition = PodCondition(
            type="Ready", status="True" if ready else "False", last_transition_time=written
        )
        before = pod.status.conditions if pod.status is not None else ()
        if before and before[0].status == condition.status:
            return
        self.store.put(dataclasses.replace(pod, status=PodStatus(phase="Running", conditions=(condition,))))

    def roll_out(self, steps: int = 30) -> list[Sequence[tuple[int, int]]]:
        """Play the node until nothing changes; the numbers after each step."""
        seen: list[Sequence[tuple[int, int]]] = []
        for _ in range(steps):
            version = self.store.snapshot().version
            self.run_pods()
            seen.append(self.numbers)
            if self.store.snapshot().version == version:
                return seen
        raise AssertionError(f"does not come to rest: {seen}")


REVISION = "deployment.kubernetes.io/revision"


def deployment(name: str = "web", replicas: int = 2, image: str = "app:1", more: str = "") -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: app, image: '{image}'}}]}}
{more}
"""
