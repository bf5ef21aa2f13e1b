"""Requests that have happened: found in the access logs, explained by the configuration of their time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from minimesh.config.decimals import decimal
from minimesh.explain.entry import LOCAL_HOSTS
from minimesh.explain.explaining import explain
from minimesh.explain.flags import details_words, flag_words
from minimesh.explain.ladder import Finding, Origin
from minimesh.explain.question import Question
from minimesh.explain.text import as_text
from minimesh.xds.resource_names import parse_cluster_name

if TYPE_CHECKING:
    from minimesh.explain.ladder import Explanation
    from minimesh.explain.world import World

_WORD = r"(\S+)"
_QUOTED = r'"([^"]*)"'
#: Istio's default line: 22 fields.
_LINE = re.compile(
    rf'\[{_WORD}\] "(\S+) (\S+) ([^"]*)" {_WORD} {_WORD} {_WORD} {_WORD} {_QUOTED} {_WORD} {_WORD} {_WORD} '
    rf"{_WORD} {_QUOTED} {_QUOTED} {_QUOTED} {_QUOTED} {_QUOTED} "
    rf"{_WORD} {_WORD} {_WORD} {_WORD} {_WORD} {_WORD}"
)


class PastError(ValueError):
    """No such request is in the logs; the text says so."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a proxy's access log in Istio's default format. `at`: its start, since the epoch."""

    proxy: str
    at: float
    method: str
    path: str
    status: int
    flags: str
    details: str
    duration_ms: int
    request_id: str
    authority: str
    upstream_host: str
    cluster: str
    downstream_local: str
    downstream_remote: str
    server_name: str
    route: str
    text: str

    @classmethod
    def read(cls, proxy: str, text: str) -> LogLine | None:
        """Read a line; None for one that is none, or has another format."""
        found = _LINE.match(text)
        if found is None:
            return None
        part = ["" if each == "-" else each for each in found.groups()]
        try:
            at = datetime.fromisoformat(part[0]).timestamp()
        except ValueError:
            return None
        return cls(
            proxy=proxy,
            at=at,
            method=part[1],
            path=part[2],
            status=decimal(part[4]) or 0,
            flags=part[5],
            details=part[6],
            duration_ms=decimal(part[11]) or 0,
            request_id=part[15],
            authority=part[16],
            upstream_host=part[17],
            cluster=part[18],
            downstream_local=part[20],
            downstream_remote=part[21],
            server_name=part[22],
            route=part[23],
            text=text,
        )

    @property
    def inbound(self) -> bool:
        """Whether it is of the side where a sidecar takes calls to its own application."""
        return (
            self.cluster.startswith(("inbound|", "InboundPassthrough")) or ":15006" in self.downstream_local
        )


def find_request(lines: Sequence[LogLine], request_id: str) -> list[LogLine]:
    """All lines of one request, by time. Raises PastError."""
    found = [line for line in lines if line.request_id == request_id]
    if not found:
        raise PastError(
            f"no access log has a request {request_id!r}: it is the x-request-id, a line's 16th field"
        )
    return _in_order(found)


def find_last(lines: Sequence[LogLine], wanted: str) -> list[LogLine]:
    """All lines of the last request that a proxy logged with this status or flag. Raises PastError."""
    for line in reversed(lines):
        if str(line.status) == wanted or wanted.upper() in line.flags.split(","):
            same = (
                [each for each in lines if each.request_id == line.request_id] if line.request_id else [line]
            )
            return _in_order(same)
    raise PastError(f"no access log has a request with {wanted!r}")


def _in_order(lines: Iterable[LogLine]) -> list[LogLine]:
    return sorted(lines, key=lambda line: (line.at, line.inbound))


@dataclass(frozen=True, slots=True)
class Past:
    """A request that has happened: its lines in order, and what its configuration makes of it."""

    lines: tuple[LogLine, ...]
    explanation: Explanation | None
    differences: tuple[str, ...] = ()
    """Where the log says otherwise than the explanation: lots were drawn, or the application decided."""

    @classmethod
    def of(cls, lines: Sequence[LogLine], world_at: Callable[[float | None], World]) -> Past:
        """Explain the first hop with the configuration in force when it began."""
        first = lines[0]
        world = world_at(first.at)
        question = question_of(first, world)
        if question is None:
            return cls(tuple(lines), None)
        found = explain(world, question)
        found = replace(found, findings=(*_because(first, world), *found.findings))
        return cls(tuple(lines), found, tuple(_differences(first, found)))

    def to_json(self) -> dict[str, Any]:
        """The explanation's JSON, with `lines` (each hop as it was logged) and `differences` beside it."""
        told = self.explanation.to_json() if self.explanation is not None else {}
        return {
            **told,
            "lines": [_line_json(each) for each in self.lines],
            "differences": list(self.differences),
        }

    def as_text(self) -> str:
        """For a terminal."""
        parts = [f"{len(self.lines)} line{'s' if len(self.lines) != 1 else ''} in the access logs:"]
        for line in self.lines:
            words = "; ".join(flag_words(line.flags)) or details_words(line.details)
            to = f" to {line.upstream_host} ({line.cluster})" if line.upstream_host else ""
            flags = f" {line.flags}" if line.flags else ""
            parts.append(
                f"  {line.proxy}: {line.method} {line.path} {line.status}{flags} {line.details}{to}, "
                f"{line.duration_ms} ms{f' - {words}' if words else ''}"
            )
            parts.append(f"    {line.text}")
        if self.explanation is not None:
            parts += ["", "By the configuration in force then:", "", as_text(self.explanation, logs=False)]
        parts += [f"  But: {each}" for each in self.differences]
        return "\n".join(parts)


def question_of(line: LogLine, world: World) -> Question | None:
    """The request of a first hop, without most of its headers; None if its proxy is gone."""
    namespace, _, name = line.proxy.partition("/")
    pod = next((each for each in world.pods if (each.namespace, each.name) == (namespace, name)), None)
    if pod is None:
        return None
    if not pod.is_gateway:
        return Question.parse(
            line.method, f"http://{line.authority}{line.path}", source=f"{namespace}/{name}"
        )
    return at_gateway(line.method, line.path, line.authority, line.downstream_local, line.server_name, name)


def at_gateway(
    method: str, path: str, authority: str, address: str, server_name: str, gateway: str
) -> Question:
    """A request that a gateway told of: `address` is its own, `server_name` what TLS asked for, or empty."""
    host, _, port = address.rpartition(":")
    scheme = "https" if server_name else "http"
    url = f"{scheme}://{'localhost' if host in LOCAL_HOSTS or not port else host}:{port or 8080}{path}"
    return Question.parse(method, url, (f"Host: {authority}",) if authority else (), via=gateway)


def _because(line: LogLine, world: World) -> Iterable[Finding]:
    """What the log alone knows of: how busy the upstream was."""
    cluster, flags = parse_cluster_name(line.cluster), line.flags.split(",")
    if "UO" not in flags or cluster is None:
        return
    namespace, _, name = line.proxy.partition("/")
    pod = next((each for each in world.pods if (each.namespace, each.name) == (namespace, name)), None)
    proxy = pod.proxy if pod is not None else None
    rule = (
        world.push.destination_rule(cluster.hostname, namespace, proxy.labels) if proxy is not None else None
    )
    pool = (
        rule.traffic_policy.connection_pool if rule is not None and rule.traffic_policy is not None else None
    )
    said = f"{cluster.hostname} had as many requests or connections under way as its circuit breaker allows"
    if rule is None or pool is None:
        yield Finding("circuit-breaker", f"{said}; no connectionPool is set for it: Envoy's own limits hold.")
        return
    yield Finding(
        "circuit-breaker",
        f"{said} (connectionPool of DestinationRule {rule.namespace}/{rule.name}): what is more is answered "
        "503 at once. Raise its limits, or send fewer at a time.",
        origin=Origin.of(rule.resource, "spec.trafficPolicy.connectionPool"),
    )


def _differences(line: LogLine, found: Explanation) -> Iterable[str]:
    verdict = found.verdict
    if verdict.answered_by != "application" and line.status != verdict.status:
        yield f"the log has {line.status}, where {verdict.status} was to be expected"
    if set(line.flags.split(",")) != set(verdict.flags.split(",")):
        yield f"the log has the flags {line.flags or '-'}, where {verdict.flags or '-'} were to be expected"
    hop = found.hops[0] if found.hops else None
    if hop is not None and line.cluster and hop.cluster != line.cluster:
        yield f"it went to {line.cluster}, as the lot fell; the likeliest was {hop.cluster}"


def _line_json(line: LogLine) -> dict[str, Any]:
    return {name: getattr(line, name) for name in LogLine.__dataclass_fields__} | {
        "flag_words": flag_words(line.flags),
        "details_words": details_words(line.details),
    }
