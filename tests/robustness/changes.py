"""Random changes of a mesh's configuration, after each of which every request of the load has a way to go.

Whoever changes a mesh keeps this order, and so does this: a subset is declared before a rule names it, and
goes after; a pod runs before it is an endpoint, and ends after it was one; of what serves a host there is
always one left.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from minimesh.config.resources import ResourceKey
from minimesh.config.store import Store
from tests.control_plane.meshes import decode_all, running_pod

VERSIONS = ("v1", "v2")
PODS_OF_A_VERSION = 3
APP_PORT = 8080
GATEWAY_HOSTS = ("shop.example", "api.example")
_MANAGER = "envoy.filters.network.http_connection_manager"
_MUTATION = {
    "name": "patched",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        "mutations": {"response_mutations": [{"append": {"header": {"key": "x-patched", "value": "yes"}}}]},
    },
}
_ROUTER_FILTER = {
    "listener": {
        "filterChain": {"filter": {"name": _MANAGER, "subFilter": {"name": "envoy.filters.http.router"}}}
    }
}
_PATCHES = (
    {
        "applyTo": "CLUSTER",
        "match": {"context": "ANY", "cluster": {"service": "web.default.svc.cluster.local"}},
        "patch": {"operation": "MERGE", "value": {"connect_timeout": "7s"}},
    },
    {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "ANY", **_ROUTER_FILTER},
        "patch": {"operation": "INSERT_BEFORE", "value": _MUTATION},
    },
    {
        "applyTo": "HTTP_ROUTE",
        "match": {"context": "GATEWAY"},
        "patch": {"operation": "MERGE", "value": {"route": {"timeout": "9s"}}},
    },
)  # fmt: skip


class Changes:
    """Changes a store at random, from a seed. `start` puts down what the load needs.

    Pods that are endpoints are in `running`: name -> address; whoever runs them starts what `address_of`
    gives before `start`, and may end what is in `retired` once every proxy has heard.
    """

    def __init__(self, store: Store, seed: int, prefix: str) -> None:
        """`prefix`: the first three numbers of the pods' addresses."""
        self._store = store
        self._random = random.Random(seed)
        self._prefix = prefix
        self._subsets: dict[str, str] = {}
        self._gateways: set[str] = set()
        self._beside: set[ResourceKey] = set()
        self._count = 0
        self.running: dict[str, str] = {}
        self.retired: dict[str, str] = {}

    def address_of(self, pod: str) -> str:
        return f"{self._prefix}.{10 + ALL_PODS.index(pod)}"

    def start(self) -> None:
        self._put("Service", "web", {"selector": {"app": "web"}, "ports": [_port(8000, APP_PORT)]}, "v1")
        for pod in ALL_PODS:
            self._start_pod(pod)
        for number in range(2):
            self._gateways.add(f"edge-{number}")
            self._put("Gateway", f"edge-{number}", _gateway(GATEWAY_HOSTS))
        self._put_rule()
        self._put_virtual_services()

    def make_one(self) -> str:
        """Change something; what it was, in a word."""
        self._count += 1
        change = self._random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        change(self)
        return change.__name__.removeprefix("_change_")

    # --- on the hosts that are called ---

    def _change_virtual_services(self) -> None:
        self._put_virtual_services()

    def _change_weights(self) -> None:
        self._put_virtual_service("api", "api.example", [{"route": self._destinations()}])

    def _change_rule_of_the_mesh(self) -> None:
        if self._random.random() < 0.5:
            self._delete(ResourceKey("VirtualService", "default", "web-mesh"))
        else:
            http = [*self._matches(), {"route": self._destinations()}]
            self._put("VirtualService", "web-mesh", {"hosts": ["web"], "http": http})

    def _change_policies(self) -> None:
        self._put_rule()

    def _change_subsets(self) -> None:
        if self._subsets and self._random.random() < 0.5:
            del self._subsets[self._random.choice(sorted(self._subsets))]
            # No rule names it any more when it goes.
            self._put_virtual_services()
            self._change_rule_of_the_mesh()
            self._put_rule()
        else:
            self._subsets[f"s{self._count}"] = self._random.choice(VERSIONS)
            self._put_rule()
            self._put_virtual_services()

    def _change_endpoints(self) -> None:
        pod = self._random.choice(ALL_PODS)
        if pod not in self.running:
            self.retired.pop(pod, None)
            self._start_pod(pod)
        elif sum(_version(each) == _version(pod) for each in self.running) > 1:
            self.retired[pod] = self.running.pop(pod)
            self._delete(ResourceKey("Pod", "default", pod))

    def _change_gateways(self) -> None:
        """One of two that serve the same hosts at the same port comes or goes."""
        name = f"edge-{self._random.randrange(2)}"
        if name not in self._gateways:
            self._gateways.add(name)
            self._put("Gateway", name, _gateway(GATEWAY_HOSTS))
        elif len(self._gateways) > 1:
            self._gateways.remove(name)
            self._delete(ResourceKey("Gateway", "default", name))

    # --- beside them, and over all ---

    def _change_gateway_beside(self) -> None:
        hosts = [f"beside-{self._random.randrange(5)}.example"]
        self._toggle("Gateway", f"beside-{self._random.randrange(4)}", _gateway(hosts))

    def _change_port_of_the_gateway(self) -> None:
        self._toggle("Gateway", "other-port", _gateway(["other.example"], 443))

    def _change_virtual_service_beside(self) -> None:
        name = f"beside-{self._random.randrange(5)}"
        spec = {
            "hosts": [f"{name}.example"],
            "gateways": ["edge-0", "mesh"],
            "http": [{"route": [_to("web")]}],
        }
        self._toggle("VirtualService", name, spec)

    def _change_service_beside(self) -> None:
        spec = {"selector": {"app": "web"}, "ports": [_port(self._random.choice([8000, 8001]), APP_PORT)]}
        self._toggle("Service", f"beside-{self._random.randrange(4)}", spec, "v1")

    def _change_service_entry(self) -> None:
        spec = {
            "hosts": ["outside.example"],
            "resolution": "STATIC",
            "ports": [{"number": 8000, "name": "http", "protocol": "HTTP", "targetPort": APP_PORT}],
            "endpoints": [{"address": self.address_of(ALL_PODS[0])}],
        }
        self._toggle("ServiceEntry", "outside", spec)

    def _change_sidecar(self) -> None:
        """The sidecar is told of its own namespace alone, or of all."""
        self._toggle("Sidecar", "narrow", {"egress": [{"hosts": ["./*"]}]})

    def _change_ingress(self) -> None:
        """Another host at the gateway's port, by what Kubernetes has for that."""
        name = f"ingress-{self._random.randrange(3)}"
        backend = {"service": {"name": "web", "port": {"number": 8000}}}
        path = {"path": "/", "pathType": "Prefix", "backend": backend}
        rule = {"host": f"{name}.example", "http": {"paths": [path]}}
        self._toggle("Ingress", name, {"ingressClassName": "istio", "rules": [rule]}, "networking.k8s.io/v1")

    def _change_http_route(self) -> None:
        """A rule of the mesh in the words of the Gateway API, beside or without that of a VirtualService."""
        spec = {
            "parentRefs": [{"group": "", "kind": "Service", "name": "web", "port": 8000}],
            "rules": [{"backendRefs": [{"name": "web", "port": 8000}]}],
        }
        self._toggle("HTTPRoute", "web", spec, "gateway.networking.k8s.io/v1")

    def _change_envoy_filter(self) -> None:
        number = self._random.randrange(len(_PATCHES))
        spec = {"configPatches": [_PATCHES[number]]}
        self._toggle("EnvoyFilter", f"patch-{number}", spec, "networking.istio.io/v1alpha3", "istio-system")

    def _change_telemetry(self) -> None:
        code = self._random.choice([400, 500])
        logging = {"providers": [{"name": "envoy"}], "filter": {"expression": f"response.code >= {code}"}}
        self._toggle(
            "Telemetry", "logs", {"accessLogging": [logging]}, "telemetry.istio.io/v1", "istio-system"
        )

    # --- what they are made of ---

    def _put_virtual_services(self) -> None:
        for host in GATEWAY_HOSTS:
            http = [*self._matches(), {"route": self._destinations()}]
            self._put_virtual_service(host.partition(".")[0], host, http)

    def _put_virtual_service(self, name: str, host: str, http: list[dict[str, Any]]) -> None:
        gateways = ["edge-0", "edge-1"]
        self._put("VirtualService", name, {"hosts": [host], "gateways": gateways, "http": http})

    def _matches(self) -> list[dict[str, Any]]:
        """Routes before the last, each with a match."""
        chosen = self._random.sample(
            [
                {"uri": {"prefix": "/a"}},
                {"uri": {"exact": "/b/c"}},
                {"uri": {"regex": "/i[a-z]+"}},
                {"headers": {"x-user": {"exact": "jason"}}},
                {"queryParams": {"q": {"exact": "1"}}},
                {"method": {"exact": "GET"}},
            ],
            self._random.randrange(4),
        )
        more: list[dict[str, Any]] = [
            {},
            {"rewrite": {"uri": "/rewritten"}},
            {"timeout": "10s"},
            {"retries": {"attempts": 0}},
            {"headers": {"response": {"set": {"x-turn": str(self._count)}}}},
            {"mirror": _to("web")["destination"]},
        ]
        return [
            {"match": [match], "route": self._destinations(), **self._random.choice(more)} for match in chosen
        ]

    def _destinations(self) -> list[dict[str, Any]]:
        subsets = self._random.sample(
            sorted(self._subsets), min(len(self._subsets), self._random.randrange(3))
        )
        if not subsets:
            return [_to("web")]
        share = self._random.randrange(1, 100)
        weights = [100] if len(subsets) == 1 else [share, 100 - share]
        return [_to("web", subset) | {"weight": each} for subset, each in zip(subsets, weights, strict=True)]

    def _put_rule(self) -> None:
        policies: list[dict[str, Any]] = [
            {},
            {"loadBalancer": {"simple": self._random.choice(["ROUND_ROBIN", "RANDOM", "LEAST_REQUEST"])}},
            {"loadBalancer": {"consistentHash": {"httpHeaderName": "x-user"}}},
            {"connectionPool": {"http": {"maxRequestsPerConnection": self._random.randrange(10, 100)}}},
            {"connectionPool": {"tcp": {"connectTimeout": f"{self._random.randrange(5, 10)}s"}}},
            {"outlierDetection": {"consecutive5xxErrors": self._random.randrange(3, 9)}},
        ]
        subsets = [
            {"name": name, "labels": {"version": version}} for name, version in sorted(self._subsets.items())
        ]
        spec = {"host": "web", "trafficPolicy": self._random.choice(policies), "subsets": subsets}
        self._put("DestinationRule", "web", {key: value for key, value in spec.items() if value})

    def _start_pod(self, pod: str) -> None:
        address = self.running[pod] = self.address_of(pod)
        labels = {"app": "web", "version": _version(pod)}
        self._store.put(*decode_all(running_pod(pod, address, labels, {"http": APP_PORT})))

    def _toggle(
        self, kind: str, name: str, spec: Mapping[str, Any], version: str = "", namespace: str = "default"
    ) -> None:
        key = ResourceKey(kind, namespace, name)
        if key in self._beside:
            self._beside.remove(key)
            self._delete(key)
        else:
            self._beside.add(key)
            self._put(kind, name, spec, version, namespace)

    def _put(
        self, kind: str, name: str, spec: Mapping[str, Any], version: str = "", namespace: str = "default"
    ) -> None:
        document = {
            "apiVersion": version or "networking.istio.io/v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
        self._store.put(*decode_all(json.dumps(document)))

    def _delete(self, key: ResourceKey) -> None:
        self._store.delete(key)


ALL_PODS = tuple(f"web-{version}-{number}" for version in VERSIONS for number in range(PODS_OF_A_VERSION))
#: Each kind of change, and how often it comes beside the others.
_WEIGHTS: dict[Callable[[Changes], None], int] = {
    Changes._change_virtual_services: 4,
    Changes._change_weights: 3,
    Changes._change_rule_of_the_mesh: 3,
    Changes._change_policies: 2,
    Changes._change_subsets: 4,
    Changes._change_endpoints: 5,
    Changes._change_gateways: 2,
    Changes._change_gateway_beside: 2,
    Changes._change_port_of_the_gateway: 1,
    Changes._change_virtual_service_beside: 2,
    Changes._change_service_beside: 2,
    Changes._change_service_entry: 1,
    Changes._change_sidecar: 1,
    Changes._change_ingress: 2,
    Changes._change_http_route: 2,
    Changes._change_envoy_filter: 2,
    Changes._change_telemetry: 2,
}


def _version(pod: str) -> str:
    return pod.split("-")[1]


def _port(number: int, target: int) -> dict[str, Any]:
    return {"name": "http", "port": number, "targetPort": target}


def _to(host: str, subset: str = "") -> dict[str, Any]:
    destination: dict[str, Any] = {"host": host, "port": {"number": 8000}}
    return {"destination": destination | ({"subset": subset} if subset else {})}


def _gateway(hosts: tuple[str, ...] | list[str], number: int = 80) -> dict[str, Any]:
    port = {"number": number, "name": "http", "protocol": "HTTP"}
    return {"selector": {"istio": "ingressgateway"}, "servers": [{"port": port, "hosts": list(hosts)}]}
