"""WasmPlugin and TrafficExtension: filters that users add to the proxies of some workloads."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

from minimesh.config.istio.selection import (
    ONE_TARGET,
    PolicyTargetReference,
    TargetRefs,
    WorkloadLabelSelector,
)
from minimesh.config.schema import Int32, Json, Length, Message, Pattern, Range, Req, Rule, message


class PluginPhase(StrEnum):
    """Where in the chain of filters a plugin stands."""

    UNSPECIFIED_PHASE = "UNSPECIFIED_PHASE"
    AUTHN = "AUTHN"
    AUTHZ = "AUTHZ"
    STATS = "STATS"


class ExecutionPhase(StrEnum):
    """Where in the chain of filters an extension stands."""

    UNSPECIFIED = "UNSPECIFIED"
    AUTHN = "AUTHN"
    AUTHZ = "AUTHZ"
    STATS = "STATS"


class PullPolicy(StrEnum):
    """When the module is fetched."""

    UNSPECIFIED_POLICY = "UNSPECIFIED_POLICY"
    IF_NOT_PRESENT = "IfNotPresent"
    ALWAYS = "Always"


class FailStrategy(StrEnum):
    """What becomes of requests when the module fails."""

    FAIL_CLOSE = "FAIL_CLOSE"
    FAIL_OPEN = "FAIL_OPEN"
    FAIL_RELOAD = "FAIL_RELOAD"


class PluginType(StrEnum):
    """Whether the module filters requests or connections."""

    UNSPECIFIED_PLUGIN_TYPE = "UNSPECIFIED_PLUGIN_TYPE"
    HTTP = "HTTP"
    NETWORK = "NETWORK"


class TrafficMode(StrEnum):
    """On which side of a request an extension runs."""

    UNDEFINED = "UNDEFINED"
    CLIENT = "CLIENT"
    SERVER = "SERVER"
    CLIENT_AND_SERVER = "CLIENT_AND_SERVER"


class EnvValueSource(StrEnum):
    """Where the value of a variable comes from."""

    INLINE = "INLINE"
    HOST = "HOST"


Port = Annotated[int, Range(1, 65535)]
VariableName = Annotated[str, Length(1, 256)]
VariableValue = Annotated[str, Length(0, 2048)]
PluginName = Annotated[str, Length(1, 256)]
PullSecret = Annotated[str, Length(1, 253)]
Sha256 = Annotated[str, Pattern("(^$|^[a-f0-9]{64}$)")]


def _is_fetchable(text: str) -> bool:
    """A path or a URL of one of the four schemes; an image reference has none."""
    scheme, colon, _ = text.partition("://")
    if colon:
        return scheme.lower() in ("http", "https", "file", "oci")
    return bool(re.match(r"/|[A-Za-z0-9.-]+(:\d+)?(/|@|:|$)", text)) and "%" not in text and "#" not in text


PluginUrl = Annotated[
    str, Length(1), Rule("url must have schema one of [http, https, file, oci]", _is_fetchable)
]


@message
class PortSelector(Message):
    """A port by number, which must be given."""

    number: Req[Port] = 0


@message
class TrafficSelector(Message):
    """Which traffic of a workload an extension sees."""

    mode: TrafficMode | None = None
    ports: tuple[PortSelector, ...] = ()


@message
class EnvVar(Message):
    """An environment variable of the module."""

    schema_rules = (
        Rule(
            "value may only be set when valueFrom is INLINE",
            lambda given: given.get("valueFrom") != EnvValueSource.HOST or "value" not in given,
        ),
    )

    name: Req[VariableName] = ""
    value_from: EnvValueSource | None = None
    value: VariableValue = ""


def _names_differ(variables: tuple[EnvVar, ...]) -> bool:
    return len({one.name for one in variables}) == len(variables)


Env = Annotated[tuple[EnvVar, ...], Length(0, 256), Rule("Duplicate value: names must differ", _names_differ)]


@message
class VmConfig(Message):
    """The virtual machine that runs the module."""

    env: Env = ()


@message
class WasmPlugin(Message):
    """A WebAssembly module as a filter."""

    schema_rules = (ONE_TARGET,)

    selector: WorkloadLabelSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: TargetRefs = ()
    url: Req[PluginUrl] = ""
    sha256: Sha256 = ""
    image_pull_policy: PullPolicy | None = None
    image_pull_secret: PullSecret = ""
    verification_key: str = ""
    plugin_config: Json = None
    plugin_name: PluginName = ""
    phase: PluginPhase | None = None
    priority: Int32 | None = None
    fail_strategy: FailStrategy | None = None
    vm_config: VmConfig | None = None
    match: tuple[TrafficSelector, ...] = ()
    type: PluginType | None = None


@message
class WasmConfig(Message):
    """A WebAssembly module."""

    url: Req[PluginUrl] = ""
    sha256: Sha256 = ""
    image_pull_policy: PullPolicy | None = None
    image_pull_secret: PullSecret = ""
    verification_key: str = ""
    plugin_config: Json = None
    plugin_name: PluginName = ""
    fail_strategy: FailStrategy | None = None
    vm_config: VmConfig | None = None
    type: PluginType | None = None


@message
class LuaConfig(Message):
    """A Lua script."""

    inline_code: Req[Annotated[str, Length(1, 65536)]] = ""


def _wasm_or_lua(given: dict[str, Any]) -> bool:
    return ("wasm" in given) != ("lua" in given)


@message
class TrafficExtension(Message):
    """A WebAssembly module or a Lua script as a filter."""

    schema_rules = (ONE_TARGET, Rule("exactly one of wasm or lua must be set", _wasm_or_lua))

    selector: WorkloadLabelSelector | None = None
    target_refs: TargetRefs = ()
    phase: ExecutionPhase | None = None
    priority: Int32 | None = None
    match: tuple[TrafficSelector, ...] = ()
    wasm: WasmConfig | None = None
    lua: LuaConfig | None = None
