"""What is made from the push before, or shared between proxies, is what would be made from nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from minimesh.config.resources import Resource, ResourceKey
from minimesh.config.store import Store
from minimesh.control_plane.discovery.refresh import refreshed
from minimesh.control_plane.discovery.snapshot import Packing, Snapshot
from minimesh.control_plane.push_context import MeshConfig, PushContext
from minimesh.control_plane.push_context.incremental import ContextBuilder
from minimesh.control_plane.push_context.sharing import Sharing
from minimesh.control_plane.status_writing import StatusWriter
from minimesh.control_plane.translation import build_resources
from minimesh.control_plane.translation.proxy import Proxy

from .meshes import INGRESS_GATEWAY, decode_all, gateway_proxy, running_pod, sidecar_proxy

SERVICES = "\n---\n".join(
    f"""\
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{selector: {{app: {name}}}, ports: [{{name: {port}, port: 80, targetPort: {target}}}]{more}}}
"""
    for name, namespace, port, target, more in (
        ("a", "default", "http", "web", ""),
        ("b", "default", "http", "web", ""),
        ("c", "other", "http", "web", ""),
        ("raw", "default", "tcp", "web", ""),
        ("headless", "default", "tcp", "80", ", clusterIP: None"),  # has listeners at its pods' addresses
    )
)
RULES = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: for-b, namespace: default}
spec: {host: a, workloadSelector: {matchLabels: {app: b}}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
"""
GATEWAY_API = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: default}
spec: {gatewayClassName: istio, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: v1
kind: Service
metadata: {name: web-istio, namespace: default}
spec: {selector: {gateway.networking.k8s.io/gateway-name: web}, ports: [{name: http, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: a, namespace: default}
spec: {parentRefs: [{name: web}], rules: [{backendRefs: [{name: a, port: 80}]}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: b, namespace: default, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  rules:
  - http: {paths: [{path: /b, pathType: Prefix, backend: {service: {name: b, port: {number: 80}}}}]}
"""
PROXIES = [
    gateway_proxy(),
    replace(
        gateway_proxy("default"), labels={"gateway.networking.k8s.io/gateway-name": "web"}, name="web-istio-0"
    ),
    sidecar_proxy({"app": "a", "version": "v1"}, name="a-0"),
    sidecar_proxy({"app": "b"}, name="b-0", ip="127.10.0.6"),
    sidecar_proxy({"app": "c"}, namespace="other", name="c-0"),
]
STEPS = 60


def a_pod(name: str, number: int, address: int) -> str:
    namespace = "other" if name == "c" else "default"
    labels = {"app": name, "version": f"v{number % 2 + 1}"}
    ports = {"web": 8080 + address % 2}
    return running_pod(f"{name}-{number}", f"127.10.9.{address}", labels, ports, namespace)


@dataclass(frozen=True)
class Written:
    """An object that is written again and again, with one of the choices in it."""

    kind: str
    name: str
    spec: str
    choices: Sequence[str]
    namespace: str = "default"

    def resource(self, chance: random.Random) -> Resource:
        group = "v1" if self.kind == "Service" else "networking.istio.io/v1"
        head = f"apiVersion: {group}\nkind: {self.kind}\n"
        metadata = f"metadata: {{name: {self.name}, namespace: {self.namespace}}}\n"
        (resource,) = decode_all(
            f"{head}{metadata}spec: {self.spec.replace('CHOICE', chance.choice(self.choices))}"
        )
        return resource


WRITTEN = [
    Written(
        "VirtualService",
        "a",
        "{hosts: [a], http: [{timeout: CHOICEs, route: [{destination: {host: a, subset: v1}, "
        "weight: CHOICE0}, {destination: {host: a, subset: v2}, weight: 20}]}]}",
        "123456789",
    ),
    Written(
        "VirtualService",
        "b",
        "{hosts: [b.default.svc.cluster.local], http: [{match: [{sourceLabels: {app: CHOICE}}], "
        "route: [{destination: {host: c.other.svc.cluster.local}}]}, {delegate: {name: rest}}]}",
        "ab",
    ),
    Written(
        "VirtualService", "rest", "{http: [{route: [{destination: {host: b}}], timeout: CHOICEs}]}", "123"
    ),
    Written(
        "VirtualService",
        "raw",
        "{hosts: [raw], tcp: [{match: [{port: 80}], route: [{destination: {host: CHOICE}}]}]}",
        "ab",
    ),
    Written(
        "VirtualService",
        "c",
        "{hosts: [c], exportTo: [CHOICE], http: [{fault: {abort: {httpStatus: 500, "
        "percentage: {value: 10}}}, route: [{destination: {host: d.default.svc.cluster.local}}]}]}",
        ("'*'", "."),
        "other",
    ),
    Written(
        "DestinationRule",
        "a",
        "{host: a, subsets: [{name: v1, labels: {version: vCHOICE}}, {name: v2, labels: {version: v2}}]}",
        "12",
    ),
    Written(
        "DestinationRule",
        "b",
        "{host: b, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-CHOICE}}, "
        "outlierDetection: {consecutive5xxErrors: 3}}}",
        "uvw",
    ),
    Written(
        "DestinationRule",
        "all",
        "{host: '*.svc.cluster.local', trafficPolicy: {connectionPool: {tcp: {maxConnections: CHOICE}}}}",
        "123",
        "istio-system",
    ),
    Written(
        "ServiceEntry",
        "outside",
        "{hosts: [outside.example], resolution: DNS, ports: [{number: CHOICE, name: http, protocol: HTTP}]}",
        ("80", "8080"),
    ),
    Written(
        "ServiceEntry",
        "selecting",
        "{hosts: [selecting.example], resolution: DNS, workloadSelector: {labels: {app: CHOICE}}, "
        "ports: [{number: 80, name: http, protocol: HTTP}]}",
        "de",
    ),
    Written("WorkloadEntry", "d", "{address: CHOICE.example, labels: {app: d}}", "xyz"),
    Written(
        "Sidecar",
        "default",
        "{egress: [{hosts: [CHOICE]}]}",
        ("./*", "'*/*'", "other/*", "./a.default.svc.cluster.local"),
    ),
    Written(
        "Service",
        "b",
        "{selector: {app: b}, ports: [{name: http, port: 80, targetPort: web}CHOICE]}",
        ("", ", {name: http-2, port: 8080}", ", {name: tcp, port: 9000}"),
    ),
    Written("Service", "d", "{selector: {app: a}, ports: [{name: http, port: CHOICE}]}", ("80", "81")),
]
REMOVABLE = ("VirtualService", "DestinationRule", "ServiceEntry", "Sidecar")


def step(store: Store, chance: random.Random) -> None:
    """Mostly a pod comes, goes or changes; sometimes something else does."""
    name, number = chance.choice(["a", "b", "c", "raw", "headless"]), chance.randrange(3)
    kind = chance.random()
    if kind < 0.4:
        store.put(chance.choice(WRITTEN).resource(chance))
    elif kind < 0.45:
        there = [each.key for each in store.snapshot().resources if each.kind in REMOVABLE]
        if there:
            store.delete(chance.choice(there))
    elif kind < 0.6:
        store.delete(ResourceKey("Pod", "other" if name == "c" else "default", f"{name}-{number}"))
    else:
        (pod,) = decode_all(a_pod(name, number, chance.randrange(1, 250)))
        store.put(pod)


def versions(snapshot: Snapshot) -> dict[str, dict[str, str]]:
    parts = ("clusters", "endpoints", "listeners", "routes", "secrets")
    return {
        part: {name: each.version for name, each in getattr(snapshot, part).resources.items()}
        for part in parts
    }


@pytest.mark.parametrize("seed", range(4))
def test_every_push_is_what_it_would_be_from_nothing(seed: int) -> None:
    chance = random.Random(seed)
    store = Store()
    for text in (SERVICES, RULES, INGRESS_GATEWAY, GATEWAY_API):
        for resource in decode_all(text):
            store.put(resource)
    for each in WRITTEN:
        store.put(each.resource(chance))
    mesh = MeshConfig()
    builder, packing = ContextBuilder(lambda _snapshot: mesh), Packing()
    held: dict[str, tuple[PushContext, Snapshot]] = {}
    refreshes = 0
    for _ in range(STEPS):
        step(store, chance)
        context = builder.build(store.snapshot(), ())
        fresh = PushContext.build(store.snapshot(), (), mesh)
        for proxy in PROXIES:
            made = None
            if proxy.name in held and builder.changes is not None and held[proxy.name][0] is not context:
                before, last = held[proxy.name]
                made = refreshed(proxy, context, builder.changes, before, last)
                refreshes += made is not None
            made = made or Snapshot.build(build_resources(proxy, context), packing)
            afresh = Snapshot.build(build_resources(proxy, fresh))
            assert versions(made) == versions(afresh)
            if proxy.name in held:
                older = held[proxy.name][1].endpoints
                assert made.endpoints.differences(older) == afresh.endpoints.differences(older)
            held[proxy.name] = (context, made)
        packing.turn()
    assert refreshes > STEPS / 2


def test_a_gateway_shares_no_listeners_with_the_sidecars_of_its_namespace() -> None:
    store = Store()
    for resource in decode_all(f"{SERVICES}\n---\n{GATEWAY_API}"):
        store.put(resource)
    context = PushContext.build(store.snapshot(), (), MeshConfig())
    gateway = PROXIES[1]
    assert "virtualInbound" in build_resources(PROXIES[2], context).listeners
    assert [*build_resources(gateway, context).listeners] == ["0.0.0.0_80"]


def test_what_routes_mean_is_worked_out_again_only_when_it_may_have_changed() -> None:
    store = Store()
    for resource in decode_all(f"{SERVICES}\n---\n{RULES}\n---\n{GATEWAY_API}"):
        store.put(resource)
    builder = ContextBuilder(lambda _snapshot: MeshConfig())
    first = builder.build(store.snapshot(), ())
    assert store.delete(ResourceKey("DestinationRule", "default", "for-b"))
    second = builder.build(store.snapshot(), ())
    assert second is not first
    assert second.converted is first.converted
    assert store.delete(ResourceKey("Service", "default", "a"))
    third = builder.build(store.snapshot(), ())
    assert third.converted is not first.converted


def test_what_is_written_back_is_no_reason_to_build_anew() -> None:
    store = Store()
    for resource in decode_all(f"{SERVICES}\n---\n{GATEWAY_API}"):
        store.put(resource)
    builder, writer = ContextBuilder(lambda _snapshot: MeshConfig()), StatusWriter(store)
    context = builder.build(store.snapshot(), ())
    version = store.snapshot().version
    writer.write(context)
    written = store.snapshot()
    assert written.version > version
    assert builder.build(written, ()) is context
    writer.write(context)
    assert store.snapshot() is written


def test_an_object_that_was_changed_meanwhile_is_told_nothing_of_the_past() -> None:
    store = Store()
    for resource in decode_all(f"{SERVICES}\n---\n{GATEWAY_API}"):
        store.put(resource)
    context = PushContext.build(store.snapshot(), (), MeshConfig())
    route = ResourceKey("HTTPRoute", "default", "a")
    (changed,) = decode_all(GATEWAY_API.split("---")[2].replace("name: a, port: 80", "name: b, port: 80"))
    assert changed.key == route
    store.put(changed)
    StatusWriter(store).write(context)
    told = {each.key: each.status for each in store.snapshot().resources}
    assert told[route] is None
    assert told[ResourceKey("Ingress", "default", "b")] is not None


def test_a_part_is_shared_by_what_it_asked_for() -> None:
    one = sidecar_proxy({"app": "a", "version": "v1"})
    same = sidecar_proxy({"app": "a", "version": "v2"}, ip="127.10.0.9")
    another = sidecar_proxy({"app": "b", "version": "v1"})
    sharing, made = Sharing(), []

    def make(proxy: object) -> object:
        made.append(proxy)
        return object() if proxy.labels.get("app") else None  # type: ignore[attr-defined]

    assert sharing.of("part", one, make) is sharing.of("part", same, make)
    assert sharing.of("part", another, make) is not sharing.of("part", one, make)
    assert len(made) == 2


def test_when_endpoints_change_what_looked_for_a_proxys_own_workload_is_made_again() -> None:
    proxy = sidecar_proxy({"app": "a"})
    sharing = Sharing()
    made: list[str] = []

    def make(part: str, of: Sharing) -> None:
        def look(seen: Proxy) -> str:
            made.append(part)
            return seen.name if part == "own pod" else seen.namespace

        of.of(part, proxy, look)

    for part in ("own pod", "namespace", "own pod"):
        make(part, sharing)
    assert made == ["own pod", "namespace"]
    carried = sharing.with_other_endpoints(["a.default.svc.cluster.local"])
    for part in ("own pod", "namespace"):
        make(part, carried)
    assert made == ["own pod", "namespace", "own pod"]


def test_a_look_at_all_labels_depends_on_all_of_them() -> None:
    one = sidecar_proxy({"app": "a", "version": "v1"})
    other = sidecar_proxy({"app": "a", "version": "v2"})
    sharing = Sharing()
    assert sharing.of("part", one, lambda proxy: dict(proxy.labels)) == dict(one.labels)
    assert sharing.of("part", other, lambda proxy: dict(proxy.labels)) == dict(other.labels)
