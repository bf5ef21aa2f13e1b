"""`explain`: one question about one world, answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from minimesh.data_plane.routing.actions import RouteAction
from minimesh.explain.causes import findings
from minimesh.explain.entry import Entry, EntryError, command, entry_of
from minimesh.explain.flags import flag_words
from minimesh.explain.ladder import Explanation, HopSummary, State, Step, Verdict
from minimesh.explain.likeliest import is_certain, likeliest_draw
from minimesh.explain.rehearsal import Rehearsal, Rehearsals
from minimesh.explain.routing_steps import (
    answer_step,
    chain_step,
    fault_step,
    listener_step,
    proxy_name,
    rewrite_step,
    route_step,
    virtual_host_step,
)
from minimesh.explain.situation import Situation
from minimesh.explain.tcp_steps import tcp_reaches, tcp_shares, tcp_steps
from minimesh.explain.upstream_steps import application_step, cluster_step, endpoint_step

if TYPE_CHECKING:
    from minimesh.explain.question import Question
    from minimesh.explain.rehearsal import AppCall, Hop, Outcome
    from minimesh.explain.world import World

_ORDER = ("listener", "filter-chain", "virtual-host", "route", "cluster", "endpoint", "application")
_TITLES = {
    "listener": "listener",
    "filter-chain": "filter chain",
    "virtual-host": "virtual host",
    "route": "route",
    "cluster": "cluster",
    "endpoint": "endpoint",
    "application": "application",
}
_REASONS = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}


def explain(world: World, question: Question) -> Explanation:
    """What becomes of a request, step by step, and why."""
    rehearsals = Rehearsals(world)
    try:
        return Explainer(world, rehearsals).explain(question)
    finally:
        rehearsals.close()


class Explainer:
    """Answers any number of questions about one world, whose proxies are compiled once."""

    def __init__(self, world: World, rehearsals: Rehearsals) -> None:
        """`rehearsals` are the caller's, to be closed."""
        self._world = world
        self._rehearsals = rehearsals

    def explain(self, question: Question, *, causes: bool = True) -> Explanation:
        """The whole answer; without `causes` only what becomes of the request."""
        try:
            entry = entry_of(self._world, question)
        except EntryError as error:
            return self._no_way_in(question, error, causes=causes)
        rehearsal = self._rehearsed(question, entry)
        steps = list(_steps(self._world, rehearsal, entry))
        steps += _not_reached(steps)
        situation = Situation(self._world, question, entry, rehearsal, _verdict(rehearsal))
        return Explanation(
            question,
            situation.verdict,
            tuple(steps),
            tuple(findings(situation)) if causes else (),
            tuple(map(_summary, rehearsal.hops)),
            command(question, entry),
        )

    def _no_way_in(self, question: Question, error: EntryError, *, causes: bool) -> Explanation:
        words = str(error)
        said = f"{words[0].upper()}{words[1:]}{'' if words.endswith('?') else '.'}"
        step = Step("port-map", "no way in", State.FAILED, said)
        verdict = Verdict(0, sentence=said)
        situation = Situation(self._world, question, None, None, verdict)
        found = tuple(findings(situation)) if causes else ()
        return Explanation(question, verdict, (step, *_not_reached([step])), found)

    def _rehearsed(self, question: Question, entry: Entry) -> Rehearsal:
        """The likeliest course of the request: once to see its route, again where that route draws lots."""

        def play(value: int) -> Rehearsal:
            return self._rehearsals.rehearse(
                question, entry=entry.pod, address=entry.address, port=entry.port, random_value=value
            )

        first = play(0)
        value = likeliest_draw(first.hops[0].routing.route if first.hops else None)
        return first if value == 0 else play(value)


# --- steps ----------------------------------------------------------------------------------------------


def _steps(world: World, rehearsal: Rehearsal, entry: Entry) -> Iterator[Step]:
    if entry.rows or entry.pod.is_gateway:
        yield _port_map_step(entry, rehearsal.question)
    if not rehearsal.hops:
        yield from _without_request(world, rehearsal, entry)
        return
    for hop in _main_way(rehearsal):
        yield from _hop_steps(world, hop, rehearsal)
    for call in _own_calls(rehearsal)[-1:]:
        yield application_step(call)


def _is_copy(authority: str) -> bool:
    """Whether a request is a mirror's: Envoy marks its host."""
    return authority.partition(":")[0].endswith("-shadow")


def _own_calls(rehearsal: Rehearsal) -> list[AppCall]:
    """What applications were asked for the request itself."""
    return [each for each in rehearsal.apps if not _is_copy(each.routing.authority)]


def _main_way(rehearsal: Rehearsal) -> list[Hop]:
    """The proxies that the request itself passed: no mirrors, and of several tries the last."""
    found: dict[str, Hop] = {}
    for hop in rehearsal.hops:
        if not _is_copy(hop.routing.authority):
            found["first" if hop is rehearsal.hops[0] else "upstream"] = hop
    return list(found.values())


def _port_map_step(entry: Entry, question: Question) -> Step:
    rows = tuple(
        {
            "host": row.host,
            "node": row.node,
            "service": row.service,
            "listener": row.listener,
            "name": row.name,
            "chosen": row is entry.row,
        }
        for row in entry.rows
    )  # fmt: skip
    if entry.row is None:
        text = f"No port {question.port} leads to {entry.pod.workload}: the connection is refused."
        return Step("port-map", f"port {question.port}", State.FAILED, text, rows=rows)
    named = {
        "host": "of this machine",
        "node": "of the node",
        "service": "of the Service",
        "listener": "of the pod",
    }
    text = (
        f"Port {question.port} {named[entry.column]} leads to port {entry.row.listener} of {entry.pod.name}."
    )
    return Step("port-map", f"{question.port} to {entry.row.listener}", State.PASSED, text, rows=rows)


def _without_request(world: World, rehearsal: Rehearsal, entry: Entry) -> Iterator[Step]:
    """The connection did not come to speak HTTP."""
    chosen = rehearsal.entry_chain
    if chosen is not None:
        yield listener_step(world, entry.pod, chosen)
        yield chain_step(world, entry.pod, chosen)
        yield from tcp_steps(world, entry.pod, chosen)
    elif entry.port:
        tables = rehearsal.entry_tables
        ports = sorted({str(each.configured_address[1]) for each in tables.listeners()}) if tables else []
        port = entry.row.listener if entry.row is not None else entry.port
        text = f"Nothing listens at port {port}: the connection is refused."
        text += (
            f" There are listeners at {', '.join(ports)}." if ports else " The proxy has no listener at all."
        )
        yield Step("listener", f"none at {port}", State.FAILED, text, proxy_name(entry.pod))


def _hop_steps(world: World, hop: Hop, rehearsal: Rehearsal) -> Iterator[Step]:
    yield listener_step(world, hop.pod, hop.chosen, hop.log_lines[-1] if hop.log_lines else "")
    yield chain_step(world, hop.pod, hop.chosen)
    if not hop.routing.table.virtual_hosts and hop.info is not None and hop.info.response_flags == "DPE":
        return
    yield virtual_host_step(world, hop)
    if hop.routing.virtual_host is None:
        return
    yield route_step(world, hop)
    route = hop.routing.route
    if route is None:
        return
    fault = fault_step(world, hop)
    if fault is not None:
        yield fault
        if fault.state is State.FAILED:
            return
    answer = answer_step(world, hop)
    if answer is not None:
        yield answer
    if not isinstance(route.action, RouteAction):
        return
    rewrite = rewrite_step(world, hop)
    if rewrite is not None:
        yield rewrite
    cluster = cluster_step(world, hop)
    yield cluster
    if cluster.state is State.PASSED:
        yield endpoint_step(world, hop, rehearsal)


def _not_reached(steps: list[Step]) -> list[Step]:
    """What would have come behind the step that failed or answered."""
    last = steps[-1]
    if last.kind == "application":
        return []
    failed = next((each for each in steps if each.state is State.FAILED), last)
    reason = (
        failed.text if failed.state is State.FAILED else f"The request is answered before: {failed.title}."
    )
    done = {"port-map": -1, "fault": 3, "answer": 3, "rewrite": 3}.get(last.kind)
    position = _ORDER.index(last.kind) if done is None else done
    return [Step(kind, _TITLES[kind], State.NOT_REACHED, reason) for kind in _ORDER[position + 1 :]]


# --- the verdict ----------------------------------------------------------------------------------------


def _verdict(rehearsal: Rehearsal) -> Verdict:
    outcome = rehearsal.outcome
    chosen = rehearsal.entry_chain
    if outcome.refused == "tcp" and chosen is not None and tcp_reaches(chosen):
        words = (
            "What the application answers: bytes are passed on as they are, and no rule for HTTP has a say."
        )
        certain = len(tcp_shares(chosen)) < 2
        return Verdict(0, answered_by="application", sentence=words, certain=certain)
    if outcome.refused == "tcp":
        return Verdict(0, sentence="The connection is closed: nobody is there to take the bytes.")
    if outcome.refused:
        words = "Connection refused" if outcome.refused == "refused" else "The connection is closed"
        return Verdict(0, sentence=f"{words}: no answer, and no line in any access log.")
    if not outcome.status:
        return Verdict(0, sentence="No answer, for a day at least.")
    first = rehearsal.hops[0]
    info = first.info
    flags = info.response_flags if info is not None else ""
    details = (info.response_code_details or "") if info is not None else ""
    answering = _answering(rehearsal)
    certain = all(is_certain(hop.routing.route) for hop in rehearsal.hops)
    calls = _own_calls(rehearsal)
    by_application = bool(calls) and details == "via_upstream" and answering is None
    answered_at = proxy_name((answering or first).pod)
    if by_application:
        call = calls[-1]
        answered_at = proxy_name(call.pod) if call.pod is not None else call.address
    return Verdict(
        status=outcome.status,
        reason=outcome.reason,
        flags=flags,
        details=details,
        body=outcome.body if not by_application else "",
        headers=outcome.headers,
        answered_by="application" if by_application else "proxy",
        answered_at=answered_at,
        sentence=_said(outcome, answering, by_application=by_application),
        certain=certain,
    )


def _answering(rehearsal: Rehearsal) -> Hop | None:
    """The proxy that made the answer itself; None when it came from an application."""
    for hop in reversed(_main_way(rehearsal)):
        if hop.info is not None and hop.info.response_code_details not in ("via_upstream", None):
            return hop
    return None


def _said(outcome: Outcome, answering: Hop | None, *, by_application: bool) -> str:
    """What the user sees, and what the log of the answering proxy says, in words."""
    if by_application:
        return "What the application answers, whatever that is."
    shown = f'the body "{outcome.body}"' if outcome.body else "an empty body"
    text = f"{outcome.status} {outcome.reason}, with {shown}"
    info = answering.info if answering is not None else None
    if answering is None or info is None:
        return f"{text}."
    flags = [each for each in info.response_flags.split(",") if each]
    words = "; ".join(
        f"{flag}: {said}" for flag, said in zip(flags, flag_words(info.response_flags), strict=True)
    )
    logged = f"{info.response_code} {info.response_flags or '-'} {info.response_code_details}"
    text = f"{text}. The log of {answering.pod.workload} has `{logged}`"
    return f"{text} ({words})." if words else f"{text}."


def _summary(hop: Hop) -> HopSummary:
    info, routing = hop.info, hop.routing
    return HopSummary(
        proxy=proxy_name(hop.pod),
        method=routing.method,
        path=routing.path,
        authority=routing.authority,
        status=info.response_code if info is not None else 0,
        flags=info.response_flags if info is not None else "",
        details=(info.response_code_details or "") if info is not None else "",
        cluster=(info.upstream_cluster or "") if info is not None else "",
        host=(info.upstream_host or "") if info is not None else "",
        route=(info.route_name or "") if info is not None else "",
        log=hop.log_lines[-1] if hop.log_lines else "",
    )
