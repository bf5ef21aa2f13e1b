"""The environment variables of a container, as Kubernetes and Istio would set them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from minimesh.config.kubernetes.pod import Container, EnvFromSource, EnvVar
from minimesh.config.resources import ResourceKey
from minimesh.config.store import Snapshot
from minimesh.platform.pod_network import PROXY_PORTS, PodAddress

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_BRACKETED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
# What a program on a laptop needs from the shell that started the mesh; a container gets none of the rest.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "VIRTUAL_ENV", "PYTHONPATH", "SHELL")


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What a pod's containers may ask about their pod."""

    name: str
    namespace: str
    pod_ip: str
    app_address: str
    service_account: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    http_proxy: str = ""
    """`HOST:PORT` of the sidecar's explicit proxy; empty for a pod without sidecar."""
    node_name: str = ""
    curl_home: str = ""
    """The folder with the `.curlrc` that makes `localhost` the pod's own (`curl_rules`)."""


def container_environment(
    facts: PodFacts,
    container: Container,
    snapshot: Snapshot,
    *,
    image_environment: Mapping[str, str],
    inherited: Mapping[str, str],
) -> dict[str, str]:
    """The whole environment of a container; what the container itself declares wins."""
    values = {name: inherited[name] for name in INHERITED if name in inherited}
    values |= image_environment
    values |= _service_variables(facts.namespace, snapshot)
    values |= dict(_pod_variables(facts))
    for source in container.env_from:
        values |= _from_source(source, facts.namespace, snapshot)
    for variable in container.env:
        value = _value(variable, facts, snapshot)
        if value is not None:
            values[variable.name] = _expanded(value, values)
    return values


def curl_rules(address: PodAddress) -> str:
    """A `.curlrc`: in a pod, `localhost` is that pod, though here it has no network namespace of its own."""
    ports = {*PROXY_PORTS, *address.port_map, *address.app_port_map}
    rules = []
    for name in ("localhost", "127.0.0.1"):
        places = ((port, *address.local(port)) for port in sorted(ports))
        rules += [f"{name}:{port}:{host}:{real}" for port, host, real in places]
        rules.append(f"{name}::{address.pod_ip if address.proxy_only else address.app_address}:")
    return "".join(f'connect-to = "{rule}"\n' for rule in rules)


def _pod_variables(facts: PodFacts) -> Iterator[tuple[str, str]]:
    yield from {
        "HOSTNAME": facts.name,
        "POD_NAME": facts.name,
        "POD_NAMESPACE": facts.namespace,
        "POD_IP": facts.pod_ip,
        "APP_ADDRESS": facts.app_address,
    }.items()
    if facts.curl_home:
        yield "CURL_HOME", facts.curl_home
    if facts.http_proxy:
        # Lower case only: that is the spelling curl honours for http, and no CGI program can be fooled by it.
        yield "http_proxy", f"http://{facts.http_proxy}"
        # Tunnels (CONNECT) for what is not plain HTTP.
        yield "https_proxy", f"http://{facts.http_proxy}"
        yield "all_proxy", f"http://{facts.http_proxy}"
        yield "no_proxy", f"localhost,127.0.0.1,{facts.app_address}"


def _service_variables(namespace: str, snapshot: Snapshot) -> dict[str, str]:
    """`HTTPBIN_SERVICE_HOST` and its like. The host is the service's name, which the sidecar routes by."""
    values: dict[str, str] = {}
    for service in snapshot.by_kind("Service"):
        if service.namespace != namespace or not service.spec.ports:
            continue
        prefix = _variable_name(service.name)
        values[f"{prefix}_SERVICE_HOST"] = service.name
        values[f"{prefix}_SERVICE_PORT"] = str(service.spec.ports[0].port)
        for port in service.spec.ports:
            if port.name:
                values[f"{prefix}_SERVICE_PORT_{_variable_name(port.name)}"] = str(port.port)
    return values


def _variable_name(name: str) -> str:
    return name.upper().replace("-", "_").replace(".", "_")


def _from_source(source: EnvFromSource, namespace: str, snapshot: Snapshot) -> dict[str, str]:
    found: Mapping[str, str] = {}
    if source.config_map_ref is not None:
        found = _config_map(source.config_map_ref.name, namespace, snapshot)
    elif source.secret_ref is not None:
        found = _secret(source.secret_ref.name, namespace, snapshot)
    return {source.prefix + key: value for key, value in found.items()}


def _value(variable: EnvVar, facts: PodFacts, snapshot: Snapshot) -> str | None:
    """The variable's value; None when what it refers to is not there."""
    source = variable.value_from
    if source is None:
        return variable.value
    if source.field_ref is not None:
        return _field(source.field_ref.field_path, facts)
    if source.config_map_key_ref is not None:
        reference = source.config_map_key_ref
        return _config_map(reference.name, facts.namespace, snapshot).get(reference.key)
    if source.secret_key_ref is not None:
        return _secret(source.secret_key_ref.name, facts.namespace, snapshot).get(source.secret_key_ref.key)
    return None


def _field(path: str, facts: PodFacts) -> str | None:
    bracketed = _BRACKETED.fullmatch(path)
    if bracketed is not None:
        values = facts.labels if bracketed[1] == "labels" else facts.annotations
        return values.get(bracketed[2], "")
    return {
        "metadata.name": facts.name,
        "metadata.namespace": facts.namespace,
        "spec.serviceAccountName": facts.service_account,
        "spec.nodeName": facts.node_name,
        "status.podIP": facts.pod_ip,
        "status.podIPs": facts.pod_ip,
        "status.hostIP": "127.0.0.1",
    }.get(path)


def _config_map(name: str, namespace: str, snapshot: Snapshot) -> Mapping[str, str]:
    found = snapshot.get(ResourceKey("ConfigMap", namespace, name))
    return dict(found.spec.data) if found is not None else {}


def _secret(name: str, namespace: str, snapshot: Snapshot) -> Mapping[str, str]:
    found = snapshot.get(ResourceKey("Secret", namespace, name))
    if found is None:
        return {}
    decoded = {key: value.decode(errors="replace") for key, value in found.spec.data.items()}
    return {**decoded, **found.spec.string_data}


def _expanded(value: str, known: Mapping[str, str]) -> str:
    """`$(NAME)` refers to a variable set before; `$$` is a dollar sign; an unknown name stays as written."""

    def replacement(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else known.get(match[1], match[0])

    return _REFERENCE.sub(replacement, value)
