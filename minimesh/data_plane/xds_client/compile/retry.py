"""RetryPolicy -> `routing.actions.RetryPolicy`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minimesh.data_plane.routing.actions import ResetHeader, RetryPolicy
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.filter_configs import struct_to_plain
from minimesh.data_plane.xds_client.compile.match import compile_header_matchers
from minimesh.data_plane.xds_client.compile.route_environment import by_number, optional_seconds, seconds
from minimesh.xds import messages as m
from minimesh.xds.retry_conditions import RETRY_CONDITIONS

_RETRY_POLICY = frozenset(
    {
        "retry_on",
        "num_retries",
        "per_try_timeout",
        "per_try_idle_timeout",
        "retry_priority",
        "retry_host_predicate",
        "host_selection_retry_max_attempts",
        "retriable_status_codes",
        "retry_back_off",
        "rate_limited_retry_back_off",
        "retriable_headers",
        "retriable_request_headers",
    }
)
_RETRY_ON = frozenset(RETRY_CONDITIONS)
_PREVIOUS_HOSTS = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
_OMIT_CANARY_HOSTS = "envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate"
_OMIT_HOST_METADATA = "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig"
#: Predicates named without a typed configuration.
_OLD_NAMES = {
    "envoy.retry_host_predicates.previous_hosts": _PREVIOUS_HOSTS,
    "envoy.retry_host_predicates.omit_canary_hosts": _OMIT_CANARY_HOSTS,
}
_DEFAULT_BASE_INTERVAL_S = 0.025
_RESET_FORMATS = ("seconds", "unix")


def compile_retry_policy(message: Any, path: str) -> RetryPolicy | None:
    """A RetryPolicy; None when it names no condition, since then nothing is tried again.

    Unknown words in `retry_on` are ignored, as in Envoy; a status code among them counts as
    `retriable-status-codes` in Istio only, which translates it before it gets here.
    """
    refuse_unsupported(message, path, _RETRY_POLICY)
    retry_on = _RETRY_ON & {word.strip() for word in message.retry_on.split(",")}
    previous_hosts, omitted = _host_predicates(
        message.retry_host_predicate, join(path, "retry_host_predicate")
    )
    update_frequency = _retry_priority(message, join(path, "retry_priority"))
    base_interval_s, max_interval_s = _back_off(message, path)
    limited = message.rate_limited_retry_back_off
    if not retry_on:
        return None
    return RetryPolicy(
        retry_on=retry_on,
        num_retries=message.num_retries.value if message.HasField("num_retries") else 1,
        per_try_timeout_s=optional_seconds(message, "per_try_timeout", path),
        retriable_status_codes=frozenset(message.retriable_status_codes),
        retriable_headers=tuple(
            compile_header_matchers(message.retriable_headers, join(path, "retriable_headers"))
        ),
        retriable_request_headers=tuple(
            compile_header_matchers(
                message.retriable_request_headers, join(path, "retriable_request_headers")
            )
        ),
        base_interval_s=base_interval_s,
        max_interval_s=max_interval_s,
        per_try_idle_timeout_s=optional_seconds(message, "per_try_idle_timeout", path),
        previous_hosts=previous_hosts,
        omitted_hosts=omitted,
        previous_priorities_update_frequency=update_frequency,
        host_selection_retry_max_attempts=message.host_selection_retry_max_attempts or 1,
        reset_headers=tuple(
            ResetHeader(header.name.lower(), by_number(_RESET_FORMATS, header.format, path))
            for header in limited.reset_headers
        ),
        reset_max_interval_s=seconds(limited.max_interval) if limited.HasField("max_interval") else 300.0,
    )


def _back_off(message: Any, path: str) -> tuple[float, float]:
    """(base, greatest) interval in seconds; Envoy's defaults are 25 ms and ten times the base."""
    if not message.HasField("retry_back_off"):
        return _DEFAULT_BASE_INTERVAL_S, 10 * _DEFAULT_BASE_INTERVAL_S
    path = join(path, "retry_back_off")
    back_off = message.retry_back_off
    # Less than a millisecond counts as one.
    base_s = max(seconds(back_off.base_interval), 0.001)
    if not back_off.HasField("base_interval"):
        raise CompileError(join(path, "base_interval"), "must be set")
    greatest_s = optional_seconds(back_off, "max_interval", path)
    if greatest_s is None:
        return base_s, 10 * base_s
    if max(greatest_s, 0.001) < base_s:
        raise CompileError(join(path, "max_interval"), "must not be less than base_interval")
    return base_s, max(greatest_s, 0.001)


def _host_predicates(messages: Sequence[Any], path: str) -> tuple[bool, tuple[Mapping[str, object], ...]]:
    """(avoid hosts tried before, metadata of hosts to avoid); a predicate that is not known is refused."""
    previous_hosts = False
    omitted: list[Mapping[str, object]] = []
    for number, message in enumerate(messages):
        type_name = message.typed_config.type_url.rpartition("/")[2] or _OLD_NAMES.get(message.name, "")
        if type_name == _PREVIOUS_HOSTS:
            previous_hosts = True
        elif type_name == _OMIT_CANARY_HOSTS:
            omitted.append({"canary": True})
        elif type_name == _OMIT_HOST_METADATA:
            predicate = m.omit_host_metadata_config_pb2.OmitHostMetadataConfig()
            message.typed_config.Unpack(predicate)
            labels = predicate.metadata_match.filter_metadata.get("envoy.lb")
            if labels is not None:
                omitted.append(struct_to_plain(labels))
        else:
            raise CompileError(f"{path}[{number}]", f"{type_name or message.name!r} is not supported")
    return previous_hosts, tuple(omitted)


def _retry_priority(message: Any, path: str) -> int:
    """`update_frequency` of `previous_priorities`; 0 when retries go by the same priorities as others."""
    if not message.HasField("retry_priority"):
        return 0
    config = message.retry_priority.typed_config
    predicate = m.previous_priorities_config_pb2.PreviousPrioritiesConfig()
    if not config.Unpack(predicate):
        name = config.type_url.rpartition("/")[2] or message.retry_priority.name
        raise CompileError(path, f"{name!r} is not supported")
    if predicate.update_frequency <= 0:
        raise CompileError(join(path, "update_frequency"), "must be greater than 0")
    return int(predicate.update_frequency)
