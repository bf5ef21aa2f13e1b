"""Whether workloads that registered themselves are well: the probes of their WorkloadGroups.

A workload whose group has a probe is an endpoint only after the probe has succeeded, and no longer once it
has failed as often as the group says:

    WAITING --successThreshold in a row--> READY --failureThreshold in a row--> WAITING

On a virtual machine Istio's agent asks the application beside it; here the control plane asks at the
workload's address, so that a probe's `host` is the name asked for and not where it is asked. Commands would
have to run there, and are not tried: such a workload counts as ready.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import aiohttp
from grpclib.client import Channel
from grpclib.exceptions import GRPCError, ProtocolError
from yarl import URL

if TYPE_CHECKING:
    from minimesh.config.istio.workload_group import ReadinessProbe, WorkloadGroup
    from minimesh.config.store import Snapshot
    from minimesh.control_plane.service_registry.workloads import RegisteredWorkload

_TIMEOUT_S, _PERIOD_S = 1, 10
_SUCCESSES, _FAILURES = 1, 3
"""What counts where a probe does not say, as in Kubernetes."""


@dataclass(slots=True)
class Verdict:
    """What a row of answers comes to. `threshold` of one kind in a row turns it."""

    success_threshold: int
    failure_threshold: int
    is_ready: bool = False
    _against: int = 0

    def turned_by(self, success: bool) -> bool:
        """Take one answer; whether it changed what is thought of the workload."""
        if success is self.is_ready:
            self._against = 0
            return False
        self._against += 1
        if self._against < (self.success_threshold if success else self.failure_threshold):
            return False
        self.is_ready, self._against = success, 0
        return True


class WorkloadHealth:
    """Asks the workloads that are there; `on_change` is called whenever one became ready or ceased to be."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._asked: dict[str, _Asked] = {}

    def judged(
        self, workloads: Sequence[RegisteredWorkload], snapshot: Snapshot
    ) -> tuple[RegisteredWorkload, ...]:
        """The workloads, those that a probe has not found well marked so. Starts and ends their probes."""
        groups = {(each.namespace, each.name): each.spec for each in snapshot.by_kind("WorkloadGroup")}
        wanted = {}
        for workload in workloads:
            probe = _probe_of(groups.get((workload.namespace, workload.group)))
            if probe is not None:
                wanted[workload.address] = (workload, probe)
        for address, asked in list(self._asked.items()):
            if wanted.get(address) != (asked.workload, asked.probe):
                asked.task.cancel()
                del self._asked[address]
        for address, (workload, probe) in wanted.items():
            if address not in self._asked:
                self._asked[address] = self._start(workload, probe)
        return tuple(replace(each, ready=self._is_ready(each)) for each in workloads)

    async def stop(self) -> None:
        """Ask nobody any more. Returns when the last connection is closed."""
        tasks = [asked.task for asked in self._asked.values()]
        self._asked.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _is_ready(self, workload: RegisteredWorkload) -> bool:
        asked = self._asked.get(workload.address)
        return asked is None or asked.verdict.is_ready

    def _start(self, workload: RegisteredWorkload, probe: ReadinessProbe) -> _Asked:
        verdict = Verdict(probe.success_threshold or _SUCCESSES, probe.failure_threshold or _FAILURES)
        return _Asked(workload, probe, verdict, asyncio.create_task(self._ask(workload, probe, verdict)))

    async def _ask(self, workload: RegisteredWorkload, probe: ReadinessProbe, verdict: Verdict) -> None:
        await asyncio.sleep(probe.initial_delay_seconds)
        while True:
            if verdict.turned_by(await succeeds(workload, probe)):
                self._on_change()
            await asyncio.sleep(probe.period_seconds or _PERIOD_S)


@dataclass(frozen=True, slots=True)
class _Asked:
    workload: RegisteredWorkload
    probe: ReadinessProbe
    verdict: Verdict
    task: asyncio.Task[None]


def _probe_of(group: WorkloadGroup | None) -> ReadinessProbe | None:
    """The probe of a group, when it is one that can be tried from here."""
    probe = group.probe if group is not None else None
    if probe is None or (probe.http_get is None and probe.tcp_socket is None and probe.grpc is None):
        return None
    return probe


async def succeeds(workload: RegisteredWorkload, probe: ReadinessProbe) -> bool:
    """Try a probe once. Whatever keeps it from an answer is a failure, never an error."""
    try:
        async with asyncio.timeout(probe.timeout_seconds or _TIMEOUT_S):
            if probe.http_get is not None:
                return await _answers(workload, probe)
            if probe.tcp_socket is not None:
                return await _accepts(workload, probe)
            return await _serves(workload, probe)
    # ValueError: no such request can be made, with a line end in a header or a host that is none.
    except (OSError, TimeoutError, aiohttp.ClientError, GRPCError, ProtocolError, ValueError):
        return False


async def _answers(workload: RegisteredWorkload, probe: ReadinessProbe) -> bool:
    """Whether a GET is answered with a status from 200 to 399."""
    get = probe.http_get
    assert get is not None
    port = workload.port_map.get(get.port, get.port)
    base = URL.build(scheme=(get.scheme or "HTTP").lower(), host=workload.address, port=port)
    headers = [(each.name, each.value) for each in get.http_headers]
    if get.host:
        headers.append(("Host", get.host))
    url = base.join(URL(f"/{get.path.removeprefix('/')}"))
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers=headers, ssl=False, allow_redirects=False) as answer,
    ):
        return 200 <= answer.status < 400


async def _accepts(workload: RegisteredWorkload, probe: ReadinessProbe) -> bool:
    """Whether a connection can be made."""
    assert probe.tcp_socket is not None
    port = workload.port_map.get(probe.tcp_socket.port, probe.tcp_socket.port)
    _, writer = await asyncio.open_connection(workload.address, port)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def _serves(workload: RegisteredWorkload, probe: ReadinessProbe) -> bool:
    """Whether gRPC's health service says so of the service that is asked after, or of all."""
    # Few meshes have such a probe.
    from grpclib.health.v1.health_grpc import HealthStub
    from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

    assert probe.grpc is not None
    port = workload.port_map.get(probe.grpc.port, probe.grpc.port)
    async with Channel(workload.address, port) as channel:
        answer = await HealthStub(channel).Check(HealthCheckRequest(service=probe.grpc.service))
    return bool(answer.status == HealthCheckResponse.SERVING)
