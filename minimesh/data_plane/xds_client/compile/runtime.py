"""LayeredRuntime of a bootstrap and Runtime resources (RTDS) -> `data_plane.runtime`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minimesh.data_plane.runtime import ADMIN_LAYER, Layer, flattened
from minimesh.data_plane.xds_client.compile.error import CompileError
from minimesh.data_plane.xds_client.compile.filter_configs import struct_to_plain


def compile_layers(message: Any, path: str) -> list[Layer]:
    """The layers of a bootstrap, those that RTDS fills still empty. Raises CompileError.

    Without any there is the one that the admin API writes, as in Envoy.
    """
    layers: list[Layer] = []
    for index, layer in enumerate(message.layers):
        where = f"{path}.layers[{index}]"
        if not layer.name:
            raise CompileError(f"{where}.name", "must not be empty")
        if any(layer.name == known.name for known in layers):
            raise CompileError(f"{where}.name", f"layer {layer.name!r} is there twice")
        layers.append(Layer(layer.name, _values(layer, where), writable=layer.HasField("admin_layer")))
    return layers or [Layer(ADMIN_LAYER, {}, writable=True)]


def rtds_layers(message: Any, path: str) -> dict[str, str]:
    """Resource name -> layer, for the layers that RTDS fills. Raises CompileError."""
    names = {}
    for index, layer in enumerate(message.layers):
        if layer.WhichOneof("layer_specifier") != "rtds_layer":
            continue
        source = layer.rtds_layer.rtds_config.WhichOneof("config_source_specifier")
        if source != "ads":
            raise CompileError(f"{path}.layers[{index}].rtds_layer.rtds_config", "only ads is supported")
        names[layer.rtds_layer.name or layer.name] = layer.name
    return names


def layer_values(message: Any) -> Mapping[str, object]:
    """A Struct as flat keys."""
    return dict(flattened(struct_to_plain(message)))


def _values(layer: Any, path: str) -> Mapping[str, object]:
    kind = layer.WhichOneof("layer_specifier")
    if kind == "static_layer":
        return layer_values(layer.static_layer)
    if kind in ("rtds_layer", "admin_layer"):
        return {}
    raise CompileError(f"{path}.{kind or 'layer_specifier'}", "not supported" if kind else "says nothing")
