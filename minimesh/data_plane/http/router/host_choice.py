"""Which host of its cluster a request goes to, where the request itself has a say: by the hash of something
it carries, by the hosts tried before, or by the address that its connection was meant for.

Requests of all other clusters ask `Cluster.choose_host` and never get here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from minimesh.data_plane.network.original_destination import parse_address, parse_destination
from minimesh.data_plane.upstream.hashing import combined, hash_text
from minimesh.data_plane.upstream.host_selection import HostSelection

if TYPE_CHECKING:
    from minimesh.data_plane.http.messages import RequestHead
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.routing.actions import HashPolicy, RetryPolicy, RouteAction
    from minimesh.data_plane.telemetry.stream_info import StreamInfo
    from minimesh.data_plane.upstream.cluster import Cluster
    from minimesh.data_plane.upstream.host import Host

_PLAIN_HTTP_PORT = 80


class HostChoice:
    """The choice for one request, over all its tries. `cookies` go to the client with the response."""

    __slots__ = ("_action", "_cluster", "_hash_key", "_stream", "cookies")

    def __init__(self, cluster: Cluster, stream: Stream, action: RouteAction) -> None:
        self._cluster = cluster
        self._stream = stream
        self._action = action
        self.cookies: list[str] = []
        self._hash_key: int | None = None
        if cluster.by_hash and action.hash_policies:
            assert stream.head is not None
            self._hash_key = request_hash(action.hash_policies, stream.head, stream.info, self.cookies)

    def choose(self, tried: Sequence[Host]) -> Host | None:
        """A host for the next try."""
        cluster, choice, policy = self._cluster, self._stream.choice, self._action.retry_policy
        assert choice is not None
        if cluster.by_destination:
            return self._original_destination()
        selection = HostSelection(self._hash_key) if cluster.by_hash else None
        if not tried or policy is None:
            return cluster.choose_host(choice.metadata_match, selection)
        if policy.previous_priorities_update_frequency:
            selection = selection or HostSelection()
            selection.priority_load = cluster.load_without(tried, policy.previous_priorities_update_frequency)
        return cluster.choose_acceptable_host(
            lambda host: _accepts(policy, tried, host),
            policy.host_selection_retry_max_attempts,
            choice.metadata_match,
            selection,
        )

    def _original_destination(self) -> Host | None:
        cluster, stream = self._cluster, self._stream
        settings = cluster.settings.load_balancing
        if settings.use_original_dst_header:
            assert stream.head is not None
            values = stream.head.header_values(settings.original_dst_header)
            address = parse_address(values[0]) if values else None
            if address is not None:
                return cluster.original_destination(*address)
            if values:
                cluster.stats.count("original_dst_host_invalid")
        info = stream.connection.info
        meant = info.original_destination
        if meant is None and info.names_destinations:
            assert stream.head is not None
            meant = parse_destination(stream.head.authority, _PLAIN_HTTP_PORT)
            if meant is not None and f"{meant[0]}:{meant[1]}" == info.local_address:
                return None  # to itself, for ever
        return None if meant is None else cluster.original_destination(*meant)


def _accepts(policy: RetryPolicy, tried: Sequence[Host], host: Host) -> bool:
    """Whether a retry may go to a host, by the policy's host predicates."""
    if policy.previous_hosts and host in tried:
        return False
    labels = host.metadata.get("envoy.lb", {})
    return not any(
        all(labels.get(name) == value for name, value in omitted.items()) for omitted in policy.omitted_hosts
    )


# --- hashing --------------------------------------------------------------------------------------


def request_hash(
    policies: Sequence[HashPolicy], head: RequestHead, info: StreamInfo, cookies: list[str]
) -> int | None:
    """The hashes of all policies that find something, as one; None when none does.

    A cookie that is asked for and not there is made, and added to `cookies`.
    """
    found: int | None = None
    for policy in policies:
        value = _hash_by(policy, head, info, cookies)
        if value is not None:
            found = value if found is None else combined(found, value)
        if policy.terminal and found is not None:
            break
    return found


def _hash_by(policy: HashPolicy, head: RequestHead, info: StreamInfo, cookies: list[str]) -> int | None:
    if policy.kind == "header":
        return _header_hash(policy, head.header_values(policy.name))
    if policy.kind == "cookie":
        return _cookie_hash(policy, head, info, cookies)
    if policy.kind == "source_ip":
        address = info.downstream_remote_address or ""
        host = address.rpartition(":")[0].strip("[]")
        return hash_text(host) if host else None
    value = query_parameter(head.path, policy.name)
    return None if value is None else hash_text(value)


def _header_hash(policy: HashPolicy, values: Sequence[str]) -> int | None:
    """Of one value; of several in order of the alphabet, each hash the seed of the next."""
    if policy.regex_rewrite is not None:
        values = [policy.regex_rewrite(value) for value in values]
    if not values:
        return None
    found = 0
    for value in values if len(values) == 1 else sorted(values):
        found = hash_text(value, found)
    return found


def _cookie_hash(policy: HashPolicy, head: RequestHead, info: StreamInfo, cookies: list[str]) -> int | None:
    value = cookie_value(head.header_values("cookie"), policy.name)
    if value is None and policy.cookie_ttl_s is not None:
        # The same for all requests of a connection, so that those under way at once agree.
        ends = f"{info.downstream_direct_remote_address}{info.downstream_local_address}"
        value = f"{hash_text(ends):016x}"
        cookies.append(set_cookie(policy, value))
    return None if value is None else hash_text(value)


def cookie_value(lines: Sequence[str], name: str) -> str | None:
    """The first cookie of this name, quotes taken off; None when there is none, or it is empty."""
    for line in lines:
        for pair in line.split(";"):
            key, equals, value = pair.strip().partition("=")
            if equals and key == name:
                if len(value) > 1 and value[0] == value[-1] == '"':
                    value = value[1:-1]
                return value or None
    return None


def set_cookie(policy: HashPolicy, value: str) -> str:
    """`set-cookie` for a cookie made here, word for word as Envoy's."""
    parts = [f'{policy.name}="{value}"']
    if policy.cookie_ttl_s:
        parts.append(f"Max-Age={int(policy.cookie_ttl_s)}")
    if policy.cookie_path:
        parts.append(f"Path={policy.cookie_path}")
    parts += [f"{key}={text}" if text else key for key, text in policy.cookie_attributes]
    parts.append("HttpOnly")
    return "; ".join(parts)


def query_parameter(target: str, name: str) -> str | None:
    """The first value of a query parameter as it stands, escapes and all; None when absent."""
    for pair in target.partition("?")[2].partition("#")[0].split("&"):
        key, _, value = pair.partition("=")
        if key == name:
            return value
    return None
