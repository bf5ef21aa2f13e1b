"""The columns of the built-in kinds behind the name, and what stands in them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from minimesh.kubernetes.objects import Object
from minimesh.kubernetes.tables.ages import UNKNOWN, age

NONE = "<none>"
_MAX_ENDPOINTS = 3


class Column(NamedTuple):
    """A column; priority 1 is shown with `-o wide` only."""

    name: str
    priority: int = 0
    type: str = "string"


Printer = Callable[[Object, datetime], Sequence[Any]]


def _age(shown: Object, now: datetime) -> str:
    return age(shown["metadata"].get("creationTimestamp"), now)


def _namespace(shown: Object, now: datetime) -> Sequence[Any]:
    return (shown.get("status", {}).get("phase") or "Active", _age(shown, now))


def _node(shown: Object, now: datetime) -> Sequence[Any]:
    status = shown.get("status", {})
    info = status.get("nodeInfo", {})
    conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
    state = {"True": "Ready", "False": "NotReady"}.get(conditions.get("Ready", ""), "Unknown")
    if shown.get("spec", {}).get("unschedulable"):
        state += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    labels = shown["metadata"].get("labels", {})
    roles = sorted(each.removeprefix(prefix) for each in labels if each.startswith(prefix))
    addresses = {each["type"]: each["address"] for each in status.get("addresses", ())}
    return (
        state,
        ",".join(roles) or NONE,
        _age(shown, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage", UNKNOWN),
        info.get("kernelVersion", UNKNOWN),
        info.get("containerRuntimeVersion", UNKNOWN),
    )


def _pod(shown: Object, now: datetime) -> Sequence[Any]:
    spec, status = shown.get("spec", {}), shown.get("status", {})
    containers = status.get("containerStatuses", ())
    total = max(len(spec.get("containers", ())), len(containers))
    ready = sum(bool(each.get("ready")) for each in containers)
    gates = spec.get("readinessGates") or ()
    return (
        f"{ready}/{total}",
        pod_state(shown),
        _restarts(containers, now),
        _age(shown, now),
        status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        f"0/{len(gates)}" if gates else NONE,
    )


def pod_state(shown: Object) -> str:
    """The word in the STATUS column: why a container waits or ended, else the pod's phase."""
    status = shown.get("status", {})
    word = status.get("reason") or status.get("phase") or "Pending"
    running = False
    for each in reversed(status.get("containerStatuses", ())):
        state = each.get("state") or {}
        waiting, terminated = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            word = waiting["reason"]
        elif terminated is not None:
            word = terminated.get("reason") or _ended(terminated)
        elif each.get("ready") and state.get("running") is not None:
            running = True
    if word == "Completed" and running:
        word = "Running" if _is_ready(status) else "NotReady"
    return "Terminating" if shown["metadata"].get("deletionTimestamp") else str(word)


def _is_ready(status: Mapping[str, Any]) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", ()))


def _ended(terminated: Mapping[str, Any]) -> str:
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _restarts(containers: Sequence[Mapping[str, Any]], now: datetime) -> str:
    count = sum(each.get("restartCount", 0) for each in containers)
    ended = [((each.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for each in containers]
    times = sorted(each for each in ended if each)
    return f"{count} ({age(times[-1], now)} ago)" if count and times else str(count)


def _service(shown: Object, now: datetime) -> Sequence[Any]:
    spec = shown.get("spec", {})
    kind = spec.get("type", "ClusterIP")
    return (
        kind,
        NONE if kind == "ExternalName" else spec.get("clusterIP") or NONE,
        _external_ip(shown, kind),
        ",".join(map(_service_port, spec.get("ports", ()))) or NONE,
        _age(shown, now),
        _labels(spec.get("selector")),
    )


def _external_ip(shown: Object, kind: str) -> str:
    spec = shown.get("spec", {})
    external = list(spec.get("externalIPs", ()))
    if kind == "ExternalName":
        return str(spec.get("externalName", ""))
    if kind != "LoadBalancer":
        return ",".join(external) or NONE
    ingress = shown.get("status", {}).get("loadBalancer", {}).get("ingress", ())
    found = [each.get("ip") or each.get("hostname", "") for each in ingress] + external
    return ",".join(found) or "<pending>"


def _service_port(port: Mapping[str, Any]) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node_port}/{port.get('protocol', 'TCP')}"


def _labels(labels: Mapping[str, str] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def _endpoints(shown: Object, now: datetime) -> Sequence[Any]:
    found = [
        f"{address['ip']}:{port['port']}"
        for subset in shown.get("subsets") or ()
        for port in subset.get("ports", ())
        for address in subset.get("addresses", ())
    ]
    return (_first_few(found, NONE), _age(shown, now))


def _first_few(found: Sequence[str], nothing: str) -> str:
    more = f" + {len(found) - _MAX_ENDPOINTS} more..." if len(found) > _MAX_ENDPOINTS else ""
    return ",".join(found[:_MAX_ENDPOINTS]) + more or nothing


def _endpoint_slice(shown: Object, now: datetime) -> Sequence[Any]:
    ports = [str(each.get("port", "*")) for each in shown.get("ports") or ()]
    addresses = [address for each in shown.get("endpoints") or () for address in each.get("addresses", ())]
    return (
        shown.get("addressType", ""),
        _first_few(ports, "<unset>"),
        _first_few(addresses, "<unset>"),
        _age(shown, now),
    )


def _service_account(shown: Object, now: datetime) -> Sequence[Any]:
    return (len(shown.get("secrets") or ()), _age(shown, now))


def _secret(shown: Object, now: datetime) -> Sequence[Any]:
    return (shown.get("type", "Opaque"), len(shown.get("data") or ()), _age(shown, now))


def _config_map(shown: Object, now: datetime) -> Sequence[Any]:
    count = len(shown.get("data") or ()) + len(shown.get("binaryData") or ())
    return (count, _age(shown, now))


def _event(shown: Object, now: datetime) -> Sequence[Any]:
    about, source = shown.get("involvedObject", {}), shown.get("source", {})
    first = shown.get("firstTimestamp") or shown.get("eventTime")
    last = shown.get("lastTimestamp") or first
    return (
        age(last, now),
        shown.get("type", ""),
        shown.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        ", ".join(filter(None, (source.get("component"), source.get("host")))),
        str(shown.get("message", "")).strip(),
        age(first, now),
        shown.get("count") or 1,
        shown["metadata"]["name"],
    )


def _deployment(shown: Object, now: datetime) -> Sequence[Any]:
    spec, status = shown.get("spec", {}), shown.get("status", {})
    return (
        f"{status.get('readyReplicas') or 0}/{spec.get('replicas', 1)}",
        status.get("updatedReplicas") or 0,
        status.get("availableReplicas") or 0,
        _age(shown, now),
        *_template(spec),
    )


def _replica_set(shown: Object, now: datetime) -> Sequence[Any]:
    spec, status = shown.get("spec", {}), shown.get("status", {})
    return (
        spec.get("replicas", 1),
        status.get("replicas") or 0,
        status.get("readyReplicas") or 0,
        _age(shown, now),
        *_template(spec),
    )


def _template(spec: Mapping[str, Any]) -> Sequence[str]:
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers", ())
    names = ",".join(each.get("name", "") for each in containers)
    images = ",".join(each.get("image", "") for each in containers)
    return (names, images, _selector(spec.get("selector") or {}))


def _selector(selector: Mapping[str, Any]) -> str:
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for each in selector.get("matchExpressions") or ():
        values = f" ({','.join(each.get('values', ()))})" if each.get("values") else ""
        words = {"In": "in", "NotIn": "notin", "Exists": "", "DoesNotExist": ""}[each["operator"]]
        absent = "!" if each["operator"] == "DoesNotExist" else ""
        parts.append(f"{absent}{each['key']} {words}{values}".strip())
    return ",".join(parts) or NONE


def _ingress(shown: Object, now: datetime) -> Sequence[Any]:
    spec = shown.get("spec", {})
    hosts = [each["host"] for each in spec.get("rules") or () if each.get("host")]
    found = shown.get("status", {}).get("loadBalancer", {}).get("ingress", ())
    return (
        spec.get("ingressClassName") or NONE,
        _first_few(hosts, "*"),
        ",".join(each.get("ip") or each.get("hostname", "") for each in found),
        "80, 443" if spec.get("tls") else "80",
        _age(shown, now),
    )


def _ingress_class(shown: Object, now: datetime) -> Sequence[Any]:
    spec = shown.get("spec", {})
    parameters = spec.get("parameters") or {}
    name = ".".join(filter(None, (parameters.get("kind"), parameters.get("apiGroup"))))
    return (
        spec.get("controller", ""),
        f"{name}/{parameters['name']}" if parameters else NONE,
        _age(shown, now),
    )


def _webhooks(shown: Object, now: datetime) -> Sequence[Any]:
    return (len(shown.get("webhooks") or ()), _age(shown, now))


def _definition(shown: Object, now: datetime) -> Sequence[Any]:
    return (shown["metadata"].get("creationTimestamp", ""),)


def _component_status(shown: Object, now: datetime) -> Sequence[Any]:
    healthy = (each for each in shown.get("conditions") or () if each["type"] == "Healthy")
    found: Mapping[str, str] = next(healthy, {})
    word = {"True": "Healthy", "False": "Unhealthy"}.get(found.get("status", ""), "Unknown")
    return (word, found.get("message", ""), found.get("error", ""))


def _columns(names: str, wide: str = "") -> tuple[Column, ...]:
    shown = [Column(each.strip()) for each in names.split(",")]
    return (*shown, *(Column(each.strip(), 1) for each in wide.split(",") if each))


_TEMPLATE = "Containers, Images, Selector"
COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "Namespace": _columns("Status, Age"),
    "Node": _columns(
        "Status, Roles, Age, Version", "Internal-IP, External-IP, OS-Image, Kernel-Version, Container-Runtime"
    ),
    "Pod": _columns("Ready, Status, Restarts, Age", "IP, Node, Nominated Node, Readiness Gates"),
    "Service": _columns("Type, Cluster-IP, External-IP, Port(s), Age", "Selector"),
    "Endpoints": _columns("Endpoints, Age"),
    "EndpointSlice": _columns("AddressType, Ports, Endpoints, Age"),
    "ServiceAccount": _columns("Secrets, Age"),
    "Secret": _columns("Type, Data, Age"),
    "ConfigMap": _columns("Data, Age"),
    "Event": (
        *_columns("Last Seen, Type, Reason, Object"),
        Column("Subobject", 1),
        Column("Source", 1),
        Column("Message"),
        Column("First Seen", 1),
        Column("Count", 1),
        Column("Name", 1),
    ),
    "Deployment": _columns("Ready, Up-to-date, Available, Age", _TEMPLATE),
    "ReplicaSet": _columns("Desired, Current, Ready, Age", _TEMPLATE),
    "Ingress": _columns("Class, Hosts, Address, Ports, Age"),
    "IngressClass": _columns("Controller, Parameters, Age"),
    "MutatingWebhookConfiguration": _columns("Webhooks, Age"),
    "ValidatingWebhookConfiguration": _columns("Webhooks, Age"),
    "CustomResourceDefinition": _columns("Created At"),
    "ComponentStatus": _columns("Status, Message, Error"),
}
"""Behind the column Name, which all kinds but Event begin with."""

PRINTERS: Mapping[str, Printer] = {
    "Namespace": _namespace,
    "Node": _node,
    "Pod": _pod,
    "Service": _service,
    "Endpoints": _endpoints,
    "EndpointSlice": _endpoint_slice,
    "ServiceAccount": _service_account,
    "Secret": _secret,
    "ConfigMap": _config_map,
    "Event": _event,
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "Ingress": _ingress,
    "IngressClass": _ingress_class,
    "MutatingWebhookConfiguration": _webhooks,
    "ValidatingWebhookConfiguration": _webhooks,
    "CustomResourceDefinition": _definition,
    "ComponentStatus": _component_status,
}
