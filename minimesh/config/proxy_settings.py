"""How the proxy of a pod is run: what the mesh, ProxyConfigs and the pod's annotation say. Pure.

It counts for pods that are injected from then on; a proxy that runs keeps what it was started with. What says
more of fewer pods comes over what says less, field by field:

    MeshConfig defaultConfig < ProxyConfig of the root namespace < of the pod's namespace
        < annotation proxy.istio.io/config < ProxyConfig that selects the pod
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from minimesh.config.creation_order import creation_order
from minimesh.config.mesh_config import decode_proxy_config, mesh_config_of

if TYPE_CHECKING:
    from minimesh.config.istio.mesh_config import DefaultProxyConfig
    from minimesh.config.istio.proxy_config import ProxyConfig
    from minimesh.config.kubernetes.meta import ObjectMeta
    from minimesh.config.kubernetes.pod import Container
    from minimesh.config.resources import Resource
    from minimesh.config.store import Snapshot

PROXY_CONFIG_ANNOTATION = "proxy.istio.io/config"
PROXY_CONFIG_VARIABLE = "PROXY_CONFIG"
"""The environment variable by which the injector tells the proxy's container; its value is JSON."""

_NODE_METADATA = "ISTIO_META_"
_ROOT_NAMESPACE = "istio-system"


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """What is said of a proxy. `concurrency`: its workers, 0 for one a processor; None says nothing."""

    concurrency: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    image_type: str = ""

    def over(self, lower: ProxySettings) -> ProxySettings:
        """These where they say something, else the lower ones."""
        return ProxySettings(
            lower.concurrency if self.concurrency is None else self.concurrency,
            {**lower.environment, **self.environment},
            self.image_type or lower.image_type,
        )

    def as_json(self) -> str:
        """As Istio's ProxyConfig, for the container's environment."""
        said: dict[str, Any] = {}
        if self.concurrency is not None:
            said["concurrency"] = self.concurrency
        if self.environment:
            said["proxyMetadata"] = dict(self.environment)
        if self.image_type:
            said["image"] = {"imageType": self.image_type}
        return json.dumps(said, separators=(",", ":"))


def proxy_settings(metadata: ObjectMeta, namespace: str, snapshot: Snapshot) -> ProxySettings:
    """The settings of a pod's proxy."""
    mesh = mesh_config_of(snapshot)
    root = mesh.root_namespace or _ROOT_NAMESPACE
    configs = sorted(snapshot.by_kind("ProxyConfig"), key=creation_order)
    found = _of_proxy(mesh.default_config)
    for scope in dict.fromkeys((root, namespace)):
        found = _first(each for each in _within(configs, scope) if each.selector is None).over(found)
    if annotated := metadata.annotations.get(PROXY_CONFIG_ANNOTATION):
        found = _of_proxy(decode_proxy_config(annotated)).over(found)
    selecting = (each for each in _within(configs, namespace) if _selects(each, metadata.labels))
    return _first(selecting).over(found)


def told_concurrency(proxy: Container) -> int | None:
    """How many workers an injected container's environment asks for; None where it says nothing."""
    told = next((each.value for each in proxy.env if each.name == PROXY_CONFIG_VARIABLE), "")
    try:
        found = json.loads(told or "{}")
    except ValueError:
        return None
    workers = found.get("concurrency") if isinstance(found, dict) else None
    return workers if isinstance(workers, int) and workers >= 0 else None


def told_environment(proxy: Container) -> dict[str, str]:
    """The variables of an injected container that are written out."""
    return {each.name: each.value for each in proxy.env if each.value_from is None}


def told_node_metadata(proxy: Container) -> dict[str, str]:
    """What Istio's agent makes of variables that begin with ISTIO_META_: entries of the node's metadata."""
    return {
        name.removeprefix(_NODE_METADATA): value
        for name, value in told_environment(proxy).items()
        if name.startswith(_NODE_METADATA)
    }


def _within(configs: Sequence[Resource], namespace: str) -> Iterator[ProxyConfig]:
    return (each.spec for each in configs if each.namespace == namespace)


def _selects(config: ProxyConfig, labels: Mapping[str, str]) -> bool:
    wanted = config.selector.match_labels if config.selector is not None else {}
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def _first(configs: Iterator[ProxyConfig]) -> ProxySettings:
    """Of several that say the same scope the oldest counts."""
    config = next(configs, None)
    if config is None:
        return ProxySettings()
    image_type = config.image.image_type if config.image is not None else ""
    return ProxySettings(config.concurrency, config.environment_variables, image_type)


def _of_proxy(config: DefaultProxyConfig | None) -> ProxySettings:
    if config is None:
        return ProxySettings()
    image_type = config.image.image_type if config.image is not None else ""
    return ProxySettings(config.concurrency, config.proxy_metadata, image_type)
