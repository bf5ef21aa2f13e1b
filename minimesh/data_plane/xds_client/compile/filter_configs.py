"""Per-route filter configuration and metadata: messages -> plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from minimesh.data_plane.http.filter_choice import RouteSwitch
from minimesh.data_plane.xds_client.compile.error import CompileError
from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.data_plane.xds_client.compile.route_environment import RouteEnvironment


def compile_filter_configs(
    configs: Mapping[str, Any], path: str, environment: RouteEnvironment
) -> dict[str, object]:
    """`typed_per_filter_config` of one level: filter name -> what the environment's hook made of it."""
    compiled: dict[str, object] = {}
    for name, config in configs.items():
        where = f"{path}[{name}]"
        if environment.compile_filter_config is None:
            raise CompileError(where, "not supported here")
        try:
            compiled[name] = environment.compile_filter_config(name, config)
        except CompileError as error:
            raise CompileError(f"{where}.{error.field}" if error.field else where, error.reason) from None
        except ValueError as error:
            raise CompileError(where, str(error)) from None
    return compiled


@runtime_checkable
class LayeredConfig(Protocol):
    """A configuration to which those of the levels around it still add."""

    def over(self, outer: object) -> object:
        """This one together with `outer`, the next less specific one."""


def merge_filter_configs(*levels: Mapping[str, object]) -> dict[str, object]:
    """What holds for a route: of each filter the most specific configuration; least specific level first."""
    merged: dict[str, object] = {}
    for level in levels:
        for name, config in level.items():
            outer = merged.get(name)
            if isinstance(config, LayeredConfig):
                merged[name] = config.over(outer)
            elif config is not RouteSwitch.ON or outer in (None, RouteSwitch.OFF):
                merged[name] = config
    return merged


def struct_to_plain(message: Any) -> dict[str, object]:
    """A protobuf Struct as dicts, lists, strings, floats and booleans."""
    return cast("dict[str, object]", m.json_format.MessageToDict(message))


def metadata_to_plain(message: Any) -> dict[str, object]:
    """`filter_metadata` by namespace. (`typed_filter_metadata` has no reader here.)"""
    return {namespace: struct_to_plain(value) for namespace, value in message.filter_metadata.items()}
