"""RetryPolicy -> `routing.actions.RetryPolicy`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minimesh.data_plane.routing.actions import ResetHeader, RetryPolicy
from minimesh.data_plane.xds_client.compile_error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile_match import compile_header_matchers
from minimesh.data_plane.xds_client.route_environment import by_number, optional_seconds, seconds

_RETRY_POLICY = frozenset(
    {
        "retry_on",
        "num_retries",
        "per_try_timeout",
        "retry_host_predicate",
        "host_selection_retry_max_attempts",
        "retriable_status_codes",
        "retry_back_off",
        "rate_limited_retry_back_off",
        "retriable_headers",
        "retriable_request_headers",
    }
)
_RETRY_ON = frozenset(
    {
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "envoy-ratelimited",
        "retriable-4xx",
        "refused-stream",
        "retriable-status-codes",
        "retriable-headers",
        "http3-post-connect-failure",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    }
)
_PREVIOUS_HOSTS = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
_DEFAULT_BASE_INTERVAL_S = 0.025
_RESET_FORMATS = ("seconds", "unix")


def compile_retry_policy(message: Any, path: str) -> RetryPolicy | None:
    """A RetryPolicy; None when it names no condition, since then nothing is tried again.

    Unknown words in `retry_on` are ignored, as in Envoy; a status code among them counts as
    `retriable-status-codes` in Istio only, which translates it before it gets here.
    """
    refuse_unsupported(message, path, _RETRY_POLICY)
    retry_on = _RETRY_ON & {word.strip() for word in message.retry_on.split(",")}
    predicates = _host_predicates(message.retry_host_predicate, join(path, "retry_host_predicate"))
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
        previous_hosts=_PREVIOUS_HOSTS in predicates,
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


def _host_predicates(messages: Sequence[Any], path: str) -> frozenset[str]:
    """Type names of the predicates; one that is not known is refused by name."""
    found = set()
    for number, message in enumerate(messages):
        type_name = message.typed_config.type_url.rpartition("/")[2]
        known = type_name or {
            "envoy.retry_host_predicates.previous_hosts": _PREVIOUS_HOSTS,
        }.get(message.name, message.name)
        if known != _PREVIOUS_HOSTS:
            raise CompileError(f"{path}[{number}]", f"{known!r} is not supported")
        found.add(known)
    return frozenset(found)
