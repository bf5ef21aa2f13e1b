"""How each container of a pod that has an address is run: its process, its environment, when it is ready.

Kubernetes' containers go in (probes, variables, a restart policy), the platform's own plans come out.
Nothing is started here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypedDict

from minimesh.config.injection import PROXY_CONTAINER
from minimesh.config.kubernetes.pod import Container
from minimesh.config.proxy_ports import ADMIN_PORT
from minimesh.config.proxy_settings import told_environment
from minimesh.config.resources import ResourceKey
from minimesh.config.store import Snapshot
from minimesh.platform.container import ContainerPlan, RestartPolicy
from minimesh.platform.environment import PodFacts, container_environment
from minimesh.platform.images import Program
from minimesh.platform.pod_network import LOCALHOST, PodAddress
from minimesh.platform.pod_processes import ProcessRequest
from minimesh.platform.proxy_process import envoy_arguments, proxy_arguments
from minimesh.platform.readiness import Check, http_check, tcp_check
from minimesh.platform.runtime_settings import RuntimeSettings
from minimesh.platform.state import StateFolder
from minimesh.platform.workloads import Workload

ISTIOD = "istiod"
"""The entry point that is this process: the control plane."""
INGRESS_GATEWAY = ResourceKey("Deployment", "istio-system", "istio-ingressgateway")
_INHERITED_BY_PROXIES = ("PATH", "HOME", "TZ")


@dataclass(frozen=True, slots=True)
class PlacedPod:
    """A pod that has an address, and what its containers may ask about it."""

    workload: Workload
    facts: PodFacts
    address: PodAddress


@dataclass(frozen=True, slots=True)
class PlannedContainer:
    """How to run a container, and what `exec` gives a command in it."""

    plan: ContainerPlan
    environment: Mapping[str, str]


class _ProxyFacts(TypedDict):
    """What either engine's proxy is told beside who it is."""

    xds_address: str
    also_bind: tuple[str, ...]
    extra_metadata: Mapping[str, object]


class ContainerPlanner:
    """Plans the containers of one mesh's pods."""

    def __init__(self, settings: RuntimeSettings, state: StateFolder) -> None:
        self._settings = settings
        self._state = state

    def containers(
        self, pod: PlacedPod, programs: Mapping[str, Program | str], snapshot: Snapshot
    ) -> Iterator[PlannedContainer]:
        """The applications in their order, then the proxy.

        `programs` says by a container's name what to run, or why nothing can be.
        """
        for container in pod.workload.applications:
            program = programs[container.name]
            environment = container_environment(
                pod.facts,
                container,
                snapshot,
                image_environment=program.env if isinstance(program, Program) else {},
                inherited=self._settings.inherited,
            )
            yield PlannedContainer(self._application(pod, container, program, environment), environment)
        if pod.workload.proxy is not None:
            environment = self._proxy_environment(pod, pod.workload.proxy, snapshot)
            yield PlannedContainer(self._proxy(pod, pod.workload.proxy), environment)

    def _application(
        self, pod: PlacedPod, container: Container, program: Program | str, environment: Mapping[str, str]
    ) -> ContainerPlan:
        if isinstance(program, str):
            return ContainerPlan(container.name, container.image, None, refusal=program)
        if program.entry == ISTIOD:
            log = ProcessRequest(program.entry, None, (), {}, str(self._state.control_plane_log))
            return ContainerPlan(container.name, container.image, log, is_own=True)
        real_port = pod.address.real_app_port(program.port) if program.port else None
        request = ProcessRequest(
            name=program.entry or container.name,
            entry=program.entry,
            argv=program.arguments(pod.address.app_address, real_port),
            environment=environment,
            log_path=self._log_path(pod, container.name),
        )
        return ContainerPlan(
            container.name,
            container.image,
            request,
            _application_check(container, program, pod.address),
            restart_policy=RestartPolicy(pod.workload.spec.restart_policy),
        )

    def _proxy(self, pod: PlacedPod, container: Container) -> ContainerPlan:
        workload, facts, address = pod.workload, pod.facts, pod.address
        engine, inherited = self._settings.engine, self._settings.inherited
        also_at_localhost = workload.owner == INGRESS_GATEWAY and address.pod_ip != LOCALHOST
        told: _ProxyFacts = {
            "xds_address": self._settings.xds_address,
            "also_bind": (LOCALHOST,) if also_at_localhost else (),
            "extra_metadata": self._settings.extra_metadata,
        }
        if is_envoy := engine.runs_envoy(workload.role):
            arguments = envoy_arguments(workload, facts, address, envoy=engine.envoy_path, **told)
        else:
            arguments = proxy_arguments(workload, facts, address, **told)
        program = "envoy" if is_envoy else "proxy"
        request = ProcessRequest(
            name=program,
            entry=program,
            argv=arguments,
            environment=told_environment(container)
            | {name: inherited[name] for name in _INHERITED_BY_PROXIES if name in inherited},
            log_path=self._log_path(pod, PROXY_CONTAINER),
        )
        check = http_check(address.admin_ip, address.real_port(ADMIN_PORT), "/ready")
        return ContainerPlan(PROXY_CONTAINER, container.image, request, check)

    def _proxy_environment(self, pod: PlacedPod, container: Container, snapshot: Snapshot) -> dict[str, str]:
        """For commands beside the proxy: their calls do not go through it."""
        admin = f"{pod.address.pod_ip}:{pod.address.real_port(ADMIN_PORT)}"
        return container_environment(
            dataclasses.replace(pod.facts, http_proxy=""),
            container,
            snapshot,
            image_environment={"MINIMESH_PROXY_ADMIN": admin},
            inherited=self._settings.inherited,
        )

    def _log_path(self, pod: PlacedPod, container: str) -> str:
        return str(self._state.log_path(pod.facts.namespace, pod.facts.name, container))


def _application_check(container: Container, program: Program, address: PodAddress) -> Check | None:
    """The container's readiness probe, or that its port accepts connections, or nothing to wait for."""
    probe = container.readiness_probe
    if probe is not None and probe.http_get is not None:
        port = _port_number(probe.http_get.port, container)
        if port is not None:
            return http_check(address.app_address, address.real_app_port(port), probe.http_get.path or "/")
    if probe is not None and probe.tcp_socket is not None:
        port = _port_number(probe.tcp_socket.port, container)
        if port is not None:
            return tcp_check(address.app_address, address.real_app_port(port))
    if program.port is None:
        return None
    return tcp_check(address.app_address, address.real_app_port(program.port))


def _port_number(port: int | str | None, container: Container) -> int | None:
    if isinstance(port, int):
        return port
    return next((p.container_port for p in container.ports if p.name == port), None)
