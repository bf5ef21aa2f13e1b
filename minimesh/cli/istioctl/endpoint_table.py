"""`proxy-config endpoint`: the hosts of a proxy's clusters with their health.

Of a running proxy from /clusters, which knows the outlier check; of a file from either that or the
endpoints in a config dump, which knows localities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minimesh.cli.istioctl import cluster_table
from minimesh.cli.istioctl.resource_json import normal_form
from minimesh.cli.istioctl.tabwriter import tabulate

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EndpointFilter:
    """What `--address`, `--port`, `--cluster` and `--status` ask for; case does not count."""

    address: str = ""
    port: int = 0
    cluster: str = ""
    status: str = ""

    def passes(self, *, address: str, port: int, cluster: str, status: str) -> bool:
        pairs = ((self.address, address), (self.cluster, cluster), (self.status, status))
        if any(wanted and wanted.lower() != found.lower() for wanted, found in pairs):
            return False
        return not self.port or port == self.port


def chosen_clusters(document: Json, wanted: EndpointFilter) -> list[Json]:
    """Of a /clusters?format=json: the clusters with a host that passes, whole, in normal form."""
    shown = normal_form(document, "envoy.admin.v3.Clusters")
    return [
        each
        for each in shown.get("clusterStatuses", ())
        if any(_passes(host, each.get("name", ""), wanted) for host in each.get("hostStatuses", ()))
    ]


def endpoint_table(clusters: Sequence[Json], wanted: EndpointFilter) -> str:
    """ENDPOINT, STATUS, OUTLIER CHECK, CLUSTER of the hosts that pass, by address, port and cluster."""
    found = sorted(
        (*_address(host), each.get("name", ""), *_health(host))
        for each in clusters
        for host in each.get("hostStatuses", ())
        if _passes(host, each.get("name", ""), wanted)
    )
    rows = [
        (f"{address}:{port}" if port else address, status, outlier, cluster)
        for address, port, cluster, status, outlier in found
    ]
    return tabulate(("ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"), rows)


def chosen_assignments(assignments: Sequence[Json], wanted: EndpointFilter) -> list[Json]:
    """Of a dump's load assignments: those with an endpoint that passes, with only such endpoints."""
    chosen = []
    for each in assignments:
        name = each.get("clusterName", "")
        localities = [
            {
                **group,
                "lbEndpoints": [e for e in group.get("lbEndpoints", ()) if _endpoint_passes(e, name, wanted)],
            }
            for group in each.get("endpoints", ())
        ]
        if any(group["lbEndpoints"] for group in localities):
            chosen.append({**each, "endpoints": localities})
    return cluster_table.in_istioctl_order(chosen, "clusterName")


def assignment_table(assignments: Sequence[Json], *, named: bool = False) -> str:
    """NAME, STATUS, LOCALITY, CLUSTER of every endpoint."""
    prefix = "endpoint/" if named else ""
    rows = [
        (
            prefix + _endpoint_name(each),
            _endpoint_status(each),
            _locality(group),
            assignment.get("clusterName", ""),
        )
        for assignment in assignments
        for group in assignment.get("endpoints", ())
        for each in group.get("lbEndpoints", ())
    ]
    return tabulate(("NAME", "STATUS", "LOCALITY", "CLUSTER"), rows)


def _address(host: Json) -> tuple[str, int]:
    address = host.get("address", {})
    socket = address.get("socketAddress")
    if socket is not None:
        return socket.get("address", ""), int(socket.get("portValue", 0))
    return f"unix://{address.get('pipe', {}).get('path', '')}", 0


def _health(host: Json) -> tuple[str, str]:
    health = host.get("healthStatus", {})
    outlier = "FAILED" if health.get("failedOutlierCheck") else "OK"
    return health.get("edsHealthStatus", "UNKNOWN"), outlier


def _passes(host: Json, cluster: str, wanted: EndpointFilter) -> bool:
    address, port = _address(host)
    return wanted.passes(address=address, port=port, cluster=cluster, status=_health(host)[0])


def _endpoint_status(endpoint: Json) -> str:
    return str(endpoint.get("healthStatus", "UNKNOWN"))


def _endpoint_name(endpoint: Json) -> str:
    address = endpoint.get("endpoint", {}).get("address", {})
    if "socketAddress" in address:
        return f"{address['socketAddress'].get('address', '')}:{address['socketAddress'].get('portValue', 0)}"
    if "pipe" in address:
        return str(address["pipe"].get("path", ""))
    internal = address.get("envoyInternalAddress", {})
    if "serverListenerName" in internal:
        return f"envoy://{internal['serverListenerName']}/{internal.get('endpointId', '')}"
    return "unknown"


def _endpoint_passes(endpoint: Json, cluster: str, wanted: EndpointFilter) -> bool:
    socket = endpoint.get("endpoint", {}).get("address", {}).get("socketAddress", {})
    port = int(socket.get("portValue", 0))
    name = socket.get("address") or _endpoint_name(endpoint)
    return wanted.passes(address=name, port=port, cluster=cluster, status=_endpoint_status(endpoint))


def _locality(group: Json) -> str:
    locality = group.get("locality", {})
    parts = [locality.get(name, "") for name in ("region", "zone", "subZone")]
    while parts and not parts[-1]:
        parts.pop()
    return "/".join(parts)
