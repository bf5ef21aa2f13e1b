"""The text of a MeshConfig to its typed form, with every finding collected.

The text is that of the ConfigMap `istio`, or a file of its own; an IstioOperator is taken for the
`meshConfig` in it.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minimesh.config.decoding import composed, decode
from minimesh.config.diagnostics import Diagnostic, Severity
from minimesh.config.field_reader import FieldReader
from minimesh.config.istio.mesh_config import DefaultProxyConfig, MeshConfigFile
from minimesh.config.schema import FieldType
from minimesh.config.simulated import not_simulated
from minimesh.config.yaml_nodes import Node, described, plain, scalar_kind

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.config.store import Snapshot

CONFIG_MAP = "istio"
CONFIG_MAP_NAMESPACE = "istio-system"
CONFIG_MAP_KEY = "mesh"

_KIND = "MeshConfig"


@dataclass(frozen=True, slots=True)
class DecodedMeshConfig:
    """What a text says. `text` is that of the MeshConfig alone, without an IstioOperator around it."""

    spec: MeshConfigFile
    text: str
    diagnostics: tuple[Diagnostic, ...]


def decode_mesh_config(text: str, file: str) -> DecodedMeshConfig:
    """Read a text. Never raises; an empty one means all defaults."""
    diagnostics: list[Diagnostic] = []
    documents = list(composed(text, file, diagnostics))
    if not documents:
        return DecodedMeshConfig(MeshConfigFile(), text, tuple(diagnostics))
    node, first_line = documents[0]
    reader = FieldReader(file, first_line, diagnostics)
    reader.resource = _KIND
    if len(documents) > 1:
        reader.error(documents[1][0], "several-documents", "", "a MeshConfig is one document")
    found = _mesh_config_node(node, reader)
    if found is None:
        return DecodedMeshConfig(MeshConfigFile(), text, tuple(diagnostics))
    spec = reader.value(found, FieldType("scalar", MeshConfigFile), "")
    for path in not_simulated(_KIND, (path for path in reader.places if path not in reader.refused)):
        place = reader.places[path]
        message = "accepted, not simulated"
        reader.write(Severity.INFO, "not-simulated", path, message, None, place.line, place.column)
    diagnostics.sort(key=lambda one: (one.line, one.column))
    own_text = text if found is node else json.dumps(plain(found))
    return DecodedMeshConfig(
        spec if isinstance(spec, MeshConfigFile) else MeshConfigFile(), own_text, tuple(diagnostics)
    )


def mesh_config_text(snapshot: Snapshot) -> str:
    """What the ConfigMap `istio` says under `mesh`; empty when there is none."""
    for resource in snapshot.by_kind("ConfigMap"):
        if (resource.namespace, resource.name) == (CONFIG_MAP_NAMESPACE, CONFIG_MAP):
            return str(resource.spec.data.get(CONFIG_MAP_KEY, ""))
    return ""


def mesh_config_of(snapshot: Snapshot) -> MeshConfigFile:
    """The MeshConfig that is written in a snapshot; what of it has an error is left out."""
    return _last_decoded(mesh_config_text(snapshot))


@functools.lru_cache(maxsize=1)
def _last_decoded(text: str) -> MeshConfigFile:
    return decode_mesh_config(text, CONFIG_MAP).spec


@functools.lru_cache(maxsize=256)
def decode_proxy_config(text: str) -> DefaultProxyConfig:
    """The annotation `proxy.istio.io/config`: what can be read of it, the rest left out."""
    diagnostics: list[Diagnostic] = []
    for node, first_line in composed(text, "", diagnostics):
        reader = FieldReader("", first_line, diagnostics)
        found = reader.value(node, FieldType("scalar", DefaultProxyConfig), "")
        if isinstance(found, DefaultProxyConfig):
            return found
    return DefaultProxyConfig()


def config_map(text: str, file: str) -> Resource:
    """The ConfigMap that a file of this text stands for."""
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG_MAP, "namespace": CONFIG_MAP_NAMESPACE},
        "data": {CONFIG_MAP_KEY: text},
    }
    [resource] = decode(json.dumps(document), file).resources
    return resource


def _mesh_config_node(node: Node, reader: FieldReader) -> Node | None:
    """The map of settings; None when there is none, or what stands there is no map."""
    if node.id == "scalar" and scalar_kind(node) == "null":
        return None
    if node.id != "mapping":
        reader.error(node, "not-a-map", "", f"a MeshConfig must be a map, not {described(node)}")
        return None
    entries = {str(key.value): value for key, value in node.value}
    if "kind" not in entries or entries["kind"].value != "IstioOperator":
        return node
    below = entries.get("spec")
    inside = {str(key.value): value for key, value in below.value} if below is not None else {}
    return inside.get("meshConfig")
