"""An Istio retry policy as Envoy's."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from minimesh.config.decimals import decimal
from minimesh.control_plane.translation.protobuf_values import any_of, duration, uint32
from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.config.istio.virtual_service import HTTPRetry
    from minimesh.control_plane.mesh_config import DefaultRetryPolicy

HOST_SELECTION_RETRY_MAX_ATTEMPTS = 5
PRIORITY_UPDATE_FREQUENCY = 2
"""After so many tries in one priority the next is asked."""
_STATUS_CODES = frozenset(status.value for status in HTTPStatus)


def build_retry_policy(retries: HTTPRetry | None, default: DefaultRetryPolicy, hashed: bool) -> Any | None:
    """The policy of a route (`HTTPRetry` or None for the mesh's); None when retries are switched off.

    With a consistent hash the hosts already tried are not avoided: the hash is to choose, not the retry.
    """
    retries = default.written if retries is None else retries
    attempts = default.attempts if retries is None else retries.attempts
    if attempts <= 0:
        return None
    policy = m.route_components_pb2.RetryPolicy(
        num_retries=uint32(attempts),
        retry_on=default.retry_on,
        host_selection_retry_max_attempts=HOST_SELECTION_RETRY_MAX_ATTEMPTS,
    )
    avoid_previous_hosts = not hashed
    if retries is not None:
        _override(policy, retries)
        if retries.retry_ignore_previous_hosts is not None:
            avoid_previous_hosts = retries.retry_ignore_previous_hosts
    if avoid_previous_hosts:
        policy.retry_host_predicate.append(_previous_hosts())
    return policy


def parse_retry_on(retry_on: str) -> tuple[str, list[int]]:
    """Split `5xx,503,reset` into conditions and status codes; numbers that are no status stay conditions."""
    conditions: list[str] = []
    codes: list[int] = []
    for part in (part.strip() for part in retry_on.split(",")):
        code = decimal(part)
        if code is not None and code in _STATUS_CODES:
            codes.append(code)
        elif part:
            conditions.append(part)
    if codes and "retriable-status-codes" not in conditions:
        conditions.append("retriable-status-codes")
    return ",".join(conditions), codes


def _override(policy: Any, retries: HTTPRetry) -> None:
    if retries.retry_on:
        policy.retry_on, codes = parse_retry_on(retries.retry_on)
        policy.retriable_status_codes.extend(codes)
    if retries.per_try_timeout is not None:
        policy.per_try_timeout.CopyFrom(duration(retries.per_try_timeout))
    if retries.backoff is not None:
        policy.retry_back_off.base_interval.CopyFrom(duration(retries.backoff))
    if retries.retry_remote_localities:
        policy.retry_priority.CopyFrom(_previous_priorities())


def _previous_hosts() -> Any:
    return m.route_components_pb2.RetryPolicy.RetryHostPredicate(
        name="envoy.retry_host_predicates.previous_hosts",
        typed_config=any_of(m.previous_hosts_pb2.PreviousHostsPredicate()),
    )


def _previous_priorities() -> Any:
    config = m.previous_priorities_config_pb2.PreviousPrioritiesConfig(
        update_frequency=PRIORITY_UPDATE_FREQUENCY
    )
    return m.route_components_pb2.RetryPolicy.RetryPriority(
        name="envoy.retry_priorities.previous_priorities", typed_config=any_of(config)
    )
