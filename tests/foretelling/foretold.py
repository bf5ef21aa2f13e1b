"""What explain says of a request, reduced to what can be seen from outside the first proxy."""

from __future__ import annotations

from dataclasses import dataclass

from minimesh.explain.ladder import CandidateState, Explanation


@dataclass(frozen=True)
class Foretold:
    """`path` and `host`: what goes upstream, empty where nothing does. `clusters`: all that are possible."""

    status: int
    flags: str
    details: str
    cluster: str
    path: str
    host: str
    headers: frozenset[tuple[str, str]]
    clusters: frozenset[str]
    certain: bool


@dataclass(frozen=True)
class Seen:
    """What a proxy did with a request. `asked`: the upstream's view of it, None where it came to none."""

    status: int
    flags: str
    details: str
    cluster: str
    asked: tuple[str, str, frozenset[tuple[str, str]]] | None


#: Headers that a configuration here may change.
TOLD_HEADERS = frozenset({"end-user", "x-tag"})


def foretold(found: Explanation) -> Foretold:
    """Of the first proxy."""
    if not found.hops:
        return Foretold(found.verdict.status, "", "", "", "", "", frozenset(), frozenset(), certain=True)
    hop = found.hops[0]
    steps = [each for each in found.steps if each.proxy == hop.proxy]
    rewrite = next((each for each in steps if each.kind == "rewrite"), None)
    cluster = next((each for each in steps if each.kind == "cluster"), None)
    goes_on = next((each for each in steps if each.kind == "endpoint" and each.state == "passed"), None)
    after = rewrite.after if rewrite is not None else {}
    possible = (
        [each.name for each in cluster.candidates if each.state is not CandidateState.REJECTED]
        if cluster
        else []
    )
    sent = {name.lower(): "" for name, _ in found.question.headers}
    for name, value in found.question.headers:
        sent[name.lower()] = f"{sent[name.lower()]},{value}" if sent[name.lower()] else value
    changed = after.get("headers", {})
    before = rewrite.before.get("headers", {}) if rewrite is not None else {}
    kept = {name: value for name, value in sent.items() if name not in before or name in changed}
    kept |= {name: value for name, value in changed.items() if name in TOLD_HEADERS}
    return Foretold(
        status=hop.status,
        flags=hop.flags,
        details=hop.details,
        cluster=hop.cluster,
        path=after.get("path", hop.path) if goes_on else "",
        host=after.get("host", hop.authority) if goes_on else "",
        headers=frozenset((name, _joined(value)) for name, value in kept.items()) if goes_on else frozenset(),
        clusters=frozenset(possible),
        certain=found.verdict.certain,
    )


def _joined(value: str) -> str:
    return value.replace(", ", ",")


def disagreements(said: Foretold, seen: Seen) -> list[str]:
    """Where the two differ; empty when they do not. Where lots are drawn only what is sure is compared."""
    if not said.certain and (seen.flags, seen.details, seen.cluster) != (
        said.flags,
        said.details,
        said.cluster,
    ):
        stopped_by_lot = not said.clusters and "FI" in said.flags
        drawn = stopped_by_lot or seen.cluster in said.clusters or "FI" in seen.flags or not seen.cluster
        return [] if drawn else [f"cluster {seen.cluster}, none of {sorted(said.clusters)}"]
    pairs = [
        ("status", said.status, seen.status),
        ("flags", said.flags, seen.flags),
        ("details", said.details, seen.details),
        ("cluster", said.cluster, seen.cluster),
        ("path", said.path, seen.asked[0] if seen.asked else ""),
        ("host", said.host, seen.asked[1] if seen.asked else ""),
        ("headers", said.headers, seen.asked[2] if seen.asked else frozenset()),
    ]
    return [
        f"{name}: foretold {wanted!r}, seen {actual!r}" for name, wanted, actual in pairs if wanted != actual
    ]
