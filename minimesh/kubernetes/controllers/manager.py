"""Runs the controllers over a store: each change leads to one more look at the whole.

The loop of a laptop: there are few objects, so every controller sees all of its kind, and what they want is
put until nobody wants anything more. All that happens in one turn of the event loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import structlog

from minimesh.config.resources import Resource, ResourceKey
from minimesh.config.store import Change, Snapshot, Store
from minimesh.kubernetes.controllers import (
    deployment,
    garbage,
    gateway_deployments,
    injector,
    namespaces,
    replica_set,
    service_endpoints,
)
from minimesh.kubernetes.controllers.event_log import EventLog
from minimesh.kubernetes.controllers.names import random_suffix
from minimesh.kubernetes.controllers.outcome import Outcome
from minimesh.kubernetes.controllers.ownership import controller_of
from minimesh.kubernetes.controllers.service_addresses import ServiceAddresses

ROUNDS_LIMIT = 100
"""Rounds of one look. A rollout takes about ten; more than this is two controllers that disagree."""
FAILURES_REMEMBERED = 100
_IGNORED_KINDS = frozenset({"Event"})

Controller = Callable[[Snapshot, datetime], Outcome]

_log = structlog.get_logger(__name__)


class Controllers:
    """The controllers of one store."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        random_bytes: Callable[[int], bytes] = os.urandom,
        addresses: ServiceAddresses | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._random_bytes = random_bytes
        given = addresses or ServiceAddresses()
        self.events = EventLog(store, clock)
        self._unwatch: Callable[[], None] | None = None
        self._soon: asyncio.Handle | None = None
        self._later: asyncio.TimerHandle | None = None
        self._failures: set[str] = set()
        self._controllers: Mapping[str, Controller] = {
            "garbage collector": garbage.reconcile,
            "gateways": lambda snapshot, now: gateway_deployments.reconcile(snapshot),
            "deployments": self._deployments,
            "replica sets": self._replica_sets,
            "injector": lambda snapshot, now: injector.reconcile(snapshot),
            "service addresses": lambda snapshot, now: given.reconcile(snapshot),
            "service endpoints": lambda snapshot, now: service_endpoints.reconcile(snapshot),
            "namespaces": lambda snapshot, now: namespaces.reconcile(snapshot),
        }

    def start(self) -> None:
        """Bring the store to where it should be, at once, and keep it there from here on."""
        self._look_again(self.settle())
        self._unwatch = self._store.watch(self._store_changed)

    def stop(self) -> None:
        """Leave the store as it is. May be called twice."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        for handle in (self._soon, self._later):
            if handle is not None:
                handle.cancel()
        self._soon = self._later = None

    def settle(self) -> datetime | None:
        """Do what the controllers want until they want nothing; returns when that may change by the clock."""
        for _ in range(ROUNDS_LIMIT):
            times = [self._run(name, controller) for name, controller in self._controllers.items()]
            if not any(changed for changed, _ in times):
                return min((at for _, at in times if at is not None), default=None)
        _log.error("controllers_disagree", rounds=ROUNDS_LIMIT)
        return None

    def _store_changed(self, changes: Sequence[Change]) -> None:
        if self._soon is None and any(each.resource.kind not in _IGNORED_KINDS for each in changes):
            self._soon = asyncio.get_running_loop().call_soon(self._settle_now)

    def _settle_now(self) -> None:
        try:
            self._look_again(self.settle())
        except OSError as error:
            # The disk has no room for what should be durable; the next change tries again.
            _log.error("controllers_cannot_store", reason=str(error))
        finally:
            # Its own changes need no further look.
            if self._soon is not None:
                self._soon.cancel()
            self._soon = None

    def _look_again(self, at: datetime | None) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if at is not None:
            delay_s = max(0.0, (at - self._clock()).total_seconds())
            self._later = asyncio.get_running_loop().call_later(delay_s, self._settle_now)

    def _run(self, name: str, controller: Controller) -> tuple[bool, datetime | None]:
        """Let one controller look and act: whether it changed anything, and when it wants to look again.

        Each sees what the one before it did, so that none overwrites what another has just put.
        """
        snapshot = self._store.snapshot()
        try:
            outcome = controller(snapshot, self._clock())
        except Exception as error:  # as for one object: what the other controllers do must go on
            self._log_failure(name, error)
            return False, None
        put = [each for each in outcome.put if self._store.would_change(each)]
        for each in put:
            self._store.put(each, durable=self._goes_with_durable(each, snapshot))
        for key in outcome.delete:
            remove(self._store, key, self._clock())
        for note in outcome.notes:
            self.events.write(note)
        return bool(put or outcome.delete), outcome.look_again_at

    def _deployments(self, snapshot: Snapshot, now: datetime) -> Outcome:
        replica_sets, pods = snapshot.by_kind("ReplicaSet"), snapshot.by_kind("Pod")
        found = snapshot.by_kind("Deployment")
        return self._each(found, lambda each: deployment.reconcile(each, replica_sets, pods, now))

    def _replica_sets(self, snapshot: Snapshot, now: datetime) -> Outcome:
        pods, found = snapshot.by_kind("Pod"), snapshot.by_kind("ReplicaSet")
        return self._each(found, lambda each: replica_set.reconcile(each, pods, self._suffix, now))

    def _each(self, found: Iterable[Resource], reconciled: Callable[[Resource], Outcome]) -> Outcome:
        """What a controller wants of each object by itself; one that it fails on is left as it is."""
        outcomes = []
        for each in found:
            try:
                outcomes.append(reconciled(each))
            except Exception as error:  # Kubernetes' controllers recover too: the others must not stand still
                self._log_failure(str(each.key), error)
        return Outcome.joined(outcomes)

    def _log_failure(self, about: str, error: Exception) -> None:
        """Once for each failure: it comes again with every change of anything."""
        failure = f"{about}: {error!r}"
        if failure not in self._failures:
            if len(self._failures) >= FAILURES_REMEMBERED:
                self._failures.clear()
            self._failures.add(failure)
            _log.error("controller_failed", about=about, exc_info=error)

    def _suffix(self) -> str:
        return random_suffix(self._random_bytes(5))

    def _goes_with_durable(self, resource: Resource, snapshot: Snapshot) -> bool:
        """A ReplicaSet is a revision to go back to: it lasts as long as its Deployment. Pods do not last."""
        if resource.kind != "ReplicaSet" or snapshot.get(resource.key) is not None:
            return False
        owner = controller_of(resource)
        if owner is None:
            return False
        return self._store.is_durable(ResourceKey(owner.kind, resource.namespace, owner.name))


def remove(
    store: Store, key: ResourceKey, now: datetime, *, finalizer: str = "", grace_s: int | None = None
) -> Resource | None:
    """Remove an object, or mark it when something has to happen first; returns it as it is then.

    None when there is no such object. OSError when a durable object cannot be forgotten.
    """
    resource = store.snapshot().get(key)
    if resource is None:
        return None
    waiting = garbage.marked(resource, now, finalizer=finalizer, grace_s=grace_s)
    if waiting is None:
        return store.delete(key)
    return store.put(waiting)
