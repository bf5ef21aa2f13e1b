"""Whether a request comes to what is expected: each expectation against the explanation of the request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minimesh.explain.entry import EntryError, entry_of
from minimesh.explain.explaining import explain
from minimesh.explain.ladder import State
from minimesh.explain.question import Question, QuestionError
from minimesh.xds.resource_names import ClusterName, parse_cluster_name

if TYPE_CHECKING:
    from minimesh.explain.ladder import Explanation, Step
    from minimesh.explain.route_tests.case_file import Case, Expectation, ExpectedDestination, LocatedCase
    from minimesh.explain.world import World

_SHARE_TOLERANCE_PERCENT = 0.01


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result of one case: what was otherwise than expected, none when it passes."""

    located: LocatedCase
    mismatches: tuple[str, ...]
    explanation: Explanation | None

    @property
    def passes(self) -> bool:
        return not self.mismatches


def judge(world: World, located: LocatedCase) -> Judgement:
    """Try one case in the mesh that `world` is."""
    try:
        question = _question(located.case)
        # Who asks for a caller that is not there has not asked whether a connection is refused.
        entry_of(world, question)
    except (QuestionError, EntryError) as error:
        return Judgement(located, (str(error),), None)
    explanation = explain(world, question)
    assert located.case.expect is not None
    return Judgement(located, tuple(_mismatches(located.case.expect, explanation)), explanation)


def _question(case: Case) -> Question:
    request = case.request
    assert request is not None
    headers = tuple(f"{name}: {value}" for name, value in request.headers.items())
    return Question.parse(request.method, request.url, headers, via=request.via, source=request.from_)


def _mismatches(expected: Expectation, explanation: Explanation) -> Iterator[str]:
    verdict = explanation.verdict
    yield from _destinations(expected, explanation)
    yield from _forwarded(expected, explanation)
    if expected.no_route and "NR" not in verdict.flags.split(","):
        yield f"a route takes the request: {_answer(explanation)}"
    if expected.refused and verdict.status:
        yield f"the connection is taken: {_answer(explanation)}"
    if expected.status is not None and verdict.status != expected.status:
        yield f"status: expected {expected.status}, got {verdict.status or 'no answer'}"
    if expected.flags is not None and verdict.flags != expected.flags:
        yield f"flags: expected {expected.flags}, got {verdict.flags or 'none'}"
    if expected.body is not None and verdict.body != expected.body:
        yield f"body: expected {expected.body!r}, got {verdict.body!r}"
    if expected.redirect is not None:
        location = dict(verdict.headers).get("location")
        if location != expected.redirect:
            yield f"redirect: expected {expected.redirect}, got {location or _answer(explanation)}"


def _answer(explanation: Explanation) -> str:
    verdict = explanation.verdict
    return f"{verdict.status} {verdict.flags}".strip() if verdict.status else "no answer"


# --- where it goes --------------------------------------------------------------------------------------


def _destinations(expected: Expectation, explanation: Explanation) -> Iterator[str]:
    if expected.destination is None and not expected.destinations:
        return
    found = _shares(explanation)
    if not found:
        yield f"destination: the request goes nowhere ({_answer(explanation)})"
        return
    shown = ", ".join(f"{name} {share:g}%" for name, share in found)
    wanted = expected.destinations or (expected.destination,)
    for each in wanted:
        assert each is not None
        share = sum(share for name, share in found if _is(each, name))
        if each.weight is not None:
            right = abs(share - each.weight) <= _SHARE_TOLERANCE_PERCENT
        else:
            right = share > 0 if expected.destinations else share >= 100 - _SHARE_TOLERANCE_PERCENT
        if not right:
            yield f"destination: expected {_described(each)}, got {shown}"
    if expected.destinations:
        others = [n for n, share in found if share and not any(_is(e, n) for e in expected.destinations)]
        if others:
            yield f"destination: {', '.join(others)} was not expected"


def _shares(explanation: Explanation) -> list[tuple[str, float]]:
    """(cluster, share in percent) of the route at the first proxy; empty where nothing is forwarded."""
    step = _first_step(explanation, "cluster")
    if step is None:
        return []
    return [(each.name, each.share_percent or 0.0) for each in step.candidates] or [(step.title, 100.0)]


def _first_step(explanation: Explanation, kind: str) -> Step | None:
    """A step at the proxy that the client talks to, if the request came to it."""
    proxy = explanation.hops[0].proxy if explanation.hops else ""
    taken = (each for each in explanation.steps if each.state is not State.NOT_REACHED)
    return next((each for each in taken if each.kind == kind and each.proxy == proxy), None)


def _is(expected: ExpectedDestination, cluster: str) -> bool:
    name = parse_cluster_name(cluster)
    if name is None:
        return cluster == expected.host
    return (
        _is_host(expected.host, name)
        and (expected.subset is None or expected.subset == name.subset)
        and expected.port in (0, name.port)
    )


def _is_host(host: str, name: ClusterName) -> bool:
    """A host may be written in full, or as much of its beginning as tells it: `reviews`, `reviews.prod`."""
    return name.hostname == host or name.hostname.startswith(f"{host}.")


def _described(expected: ExpectedDestination) -> str:
    parts = [expected.host]
    if expected.subset is not None:
        parts.append(f"subset {expected.subset or 'none'}")
    if expected.port:
        parts.append(f"port {expected.port}")
    if expected.weight is not None:
        parts.append(f"{expected.weight:g}%")
    return " ".join(parts)


# --- what is sent on ------------------------------------------------------------------------------------


def _forwarded(expected: Expectation, explanation: Explanation) -> Iterator[str]:
    hop = explanation.hops[0] if explanation.hops else None
    if expected.route is not None and (hop is None or hop.route != expected.route):
        took = "one without name" if hop is not None and _first_step(explanation, "route") else "none"
        yield f"route: expected {expected.route}, got {(hop.route if hop is not None else '') or took}"
    if hop is None or not _shares(explanation):
        if expected.path or expected.host or expected.headers or expected.without_headers:
            yield f"nothing is sent on ({_answer(explanation)})"
        return
    rewrite = _first_step(explanation, "rewrite")
    after = rewrite.after if rewrite is not None else {}
    for name, wanted, sent in (
        ("path", expected.path, after.get("path", hop.path)),
        ("host", expected.host, after.get("host", hop.authority)),
    ):
        if wanted is not None and sent != wanted:
            yield f"{name}: expected {wanted}, got {sent}"
    headers = _sent_headers(explanation, rewrite)
    for name, wanted in expected.headers.items():
        if headers.get(name.lower()) != wanted:
            yield f"header {name}: expected {wanted}, got {headers.get(name.lower(), 'none')}"
    for name in expected.without_headers:
        if name.lower() in headers:
            yield f"header {name}: expected none, got {headers[name.lower()]}"


def _sent_headers(explanation: Explanation, rewrite: Step | None) -> dict[str, str]:
    """The client's own headers and those that the proxy changed, by lower-case name."""
    headers = {name.lower(): value for name, value in explanation.question.headers}
    if rewrite is not None:
        for name in rewrite.before.get("headers", {}):
            headers.pop(name.lower(), None)
        headers.update((name.lower(), value) for name, value in rewrite.after.get("headers", {}).items())
    return headers
