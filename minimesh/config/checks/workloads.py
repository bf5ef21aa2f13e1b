"""Rules for Service, Deployment and Pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.config.checks.finding import Finding, Findings, as_name, check_labels, check_port, is_label
from minimesh.config.decimals import decimal

if TYPE_CHECKING:
    from minimesh.config.kubernetes.apps import DeploymentSpec
    from minimesh.config.kubernetes.core import ServiceSpec
    from minimesh.config.kubernetes.pod import PodSpec


def check_service(spec: ServiceSpec) -> Findings:
    if not spec.ports and spec.type != "ExternalName" and spec.cluster_ip != "None":
        yield Finding("spec.ports", "missing-field", "is missing; a service needs at least one port")
    if spec.type == "ExternalName" and not spec.external_name:
        yield Finding("spec.externalName", "missing-field", "is missing; type ExternalName needs it")
    yield from check_labels("spec.selector", spec.selector)
    names: set[str] = set()
    for index, port in enumerate(spec.ports):
        path = f"spec.ports[{index}]"
        yield from check_port(f"{path}.port", port.port)
        if isinstance(port.target_port, int):
            yield from check_port(f"{path}.targetPort", port.target_port)
        if not port.name and len(spec.ports) > 1:
            yield Finding(f"{path}.name", "missing-field", "is missing; each of several ports needs a name")
        elif port.name and not is_label(port.name):
            yield Finding(
                f"{path}.name",
                "bad-name",
                f'"{port.name}" must be lower case letters, digits and dashes',
                suggestion=as_name(port.name),
            )
        if port.name and port.name in names:
            yield Finding(f"{path}.name", "duplicate-name", f'another port is called "{port.name}" too')
        names.add(port.name)


def check_deployment(spec: DeploymentSpec) -> Findings:
    if spec.replicas < 0:
        yield Finding("spec.replicas", "bad-value", f"must not be negative, it is {spec.replicas}")
    yield from _check_rolling_update(spec)
    selector = spec.selector.match_labels if spec.selector else {}
    if spec.selector is not None and not selector and not spec.selector.match_expressions:
        yield Finding("spec.selector", "missing-field", "is empty; it must select the pods of the template")
    if spec.template is None:
        return
    labels = spec.template.metadata.labels if spec.template.metadata else {}
    yield from check_labels("spec.template.metadata.labels", labels)
    for key, value in selector.items():
        if labels.get(key) != value:
            yield Finding(
                "spec.selector.matchLabels",
                "selector-mismatch",
                f"asks for {key}={value}, which spec.template.metadata.labels does not have",
            )
    yield from check_pod("spec.template.spec", spec.template.spec)


def _check_rolling_update(spec: DeploymentSpec) -> Findings:
    rolling = spec.strategy.rolling_update if spec.strategy is not None else None
    if rolling is None:
        return
    for name, share in (("maxSurge", rolling.max_surge), ("maxUnavailable", rolling.max_unavailable)):
        number = decimal(share.removesuffix("%")) if isinstance(share, str) else share
        is_percent = isinstance(share, int) or share is None or share.endswith("%")
        if share is not None and (number is None or number < 0 or not is_percent):
            path = f"spec.strategy.rollingUpdate.{name}"
            message = f'must be a number of pods or a share of them, such as 1 or "25%", it is {share!r}'
            yield Finding(path, "bad-value", message)
    if _is_nothing(rolling.max_surge) and _is_nothing(rolling.max_unavailable):
        path = "spec.strategy.rollingUpdate.maxUnavailable"
        yield Finding(path, "bad-value", "may not be 0 when maxSurge is 0: no pod could ever be replaced")


def _is_nothing(share: int | str | None) -> bool:
    return share is not None and decimal(str(share).removesuffix("%")) == 0


def check_pod_spec(spec: PodSpec) -> Findings:
    return check_pod("spec", spec)


def check_pod(path: str, spec: PodSpec | None) -> Findings:
    if spec is None:
        yield Finding(path, "missing-field", "is missing; it lists the containers")
        return
    if not spec.containers:
        yield Finding(f"{path}.containers", "missing-field", "is empty; a pod needs at least one container")
    names: set[str] = set()
    for index, container in enumerate(spec.containers):
        at = f"{path}.containers[{index}]"
        if not container.image:
            yield Finding(f"{at}.image", "missing-field", "is missing; it says what the container runs")
        if container.name and not is_label(container.name):
            yield Finding(
                f"{at}.name",
                "bad-name",
                f'"{container.name}" must be lower case letters, digits and dashes',
                suggestion=as_name(container.name),
            )
        if container.name in names:
            yield Finding(
                f"{at}.name", "duplicate-name", f'another container is called "{container.name}" too'
            )
        names.add(container.name)
        for number, port in enumerate(container.ports):
            yield from check_port(f"{at}.ports[{number}].containerPort", port.container_port)
