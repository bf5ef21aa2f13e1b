"""What an explanation is made of, and its JSON.

    {
      "request":  {"method", "url", "authority", "headers": [[NAME, VALUE]], "via", "from", "curl"},
      "outcome":  {"status": 404, "reason": "Not Found", "flags": [{"flag": "NR", "words": "..."}],
                   "details": "route_not_found", "details_words": "...", "body": "",
                   "headers": [[NAME, VALUE]],
                   "answered_by": "application" | "proxy" | "nobody", "answered_at": "NAMESPACE/POD",
                   "sentence": "what the user sees, in one sentence", "certain": true},
      "steps":    [STEP, ...],       in the order of deciding, from the client to the application
      "findings": [FINDING, ...],    causes first, the likeliest first; then what is worth knowing
      "hops":     [{"proxy", "method", "path", "authority", "status", "flags", "details", "cluster", "host",
                    "route", "log"}]
    }

    STEP
      "kind"       port-map | listener | filter-chain | virtual-host | route | fault | answer | rewrite |
                   cluster | endpoint | application
      "proxy"      NAMESPACE/POD whose proxy decides; empty for what is in front of all proxies
      "title"      what was decided, short
      "state"      passed | failed | not-reached
      "text"       the decision and its reason, in a sentence or two; why it was not reached
      "candidates" [{"name", "state": chosen | rejected | unreachable | possible, "reason",
                     "subject", "wanted", "actual", "share_percent",
                     "resource", "file", "line", "column"}]
                   all there were, in the order in which they were tried; `subject`, `wanted` and `actual` are
                   of the first condition that failed
      "before", "after"
                   {"path", "host", "headers": {NAME: VALUE}}, only what this step changes; else empty
      "rows"       port-map: [{"host", "node", "service", "listener", "chosen"}]
      "envoy"      what the proxy's configuration calls it: {"listener": "0.0.0.0_8080", ...}
      "resource"   KIND NAMESPACE/NAME that caused it; empty where no document did
      "field", "file", "line", "column"
                   where in it; line and column from 1, 0 where no file has it
      "log"        the access-log line that its proxy writes for this request; on the first step of each proxy

    FINDING
      "severity"   cause | warning | note
      "topic"      a stable word, such as `gateway-in-other-namespace`
      "code"       Istio's code for it (IST0101), or empty
      "sentence"   what is wrong, and what would mend it
      "resource", "field", "file", "line", "column"
      "patch"      YAML documents for `kubectl apply`, merged into what there is; empty where none would help
      "change"     the lines that the patch takes away (-) and adds (+), with those around them

Everything is always there; what does not apply is empty, 0 or null.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from minimesh.explain.flags import details_words, flag_words

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.explain.question import Question


class State(StrEnum):
    """How far a request came."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_REACHED = "not-reached"


class CandidateState(StrEnum):
    """What became of one of several."""

    CHOSEN = "chosen"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    """It would have fitted, and never is asked."""
    POSSIBLE = "possible"
    """It may as well be chosen for the next request."""


class Severity(StrEnum):
    """How a finding relates to the request."""

    CAUSE = "cause"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where something is written. All empty: no document says it."""

    resource: str = ""
    field: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    @classmethod
    def of(cls, resource: Resource | None, path: str = "") -> Origin:
        """A field of a resource, or of the document that it was made of."""
        if resource is None:
            return NO_ORIGIN
        written, field = resource.written(path)
        if not written.source.file:
            return cls(str(written.key), field)
        place = written.source.location(field)
        return cls(str(written.key), field, place.file, place.line, place.column)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file else ""
        return " ".join(filter(None, (self.resource, place)))


NO_ORIGIN = Origin()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of several that a step chose from."""

    name: str
    state: CandidateState
    reason: str = ""
    subject: str = ""
    wanted: str = ""
    actual: str | None = None
    share_percent: float | None = None
    origin: Origin = NO_ORIGIN


@dataclass(frozen=True, slots=True)
class Step:
    """One decision."""

    kind: str
    title: str
    state: State
    text: str = ""
    proxy: str = ""
    candidates: tuple[Candidate, ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[Mapping[str, Any], ...] = ()
    envoy: Mapping[str, str] = field(default_factory=dict)
    origin: Origin = NO_ORIGIN
    log: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth saying about the request's way."""

    topic: str
    sentence: str
    severity: Severity = Severity.CAUSE
    code: str = ""
    origin: Origin = NO_ORIGIN
    patch: str = ""
    change: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the client gets. `status` 0: no answer."""

    status: int
    reason: str = ""
    flags: str = ""
    details: str = ""
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    answered_by: str = "nobody"
    answered_at: str = ""
    sentence: str = ""
    certain: bool = True
    """False where lots are drawn: another request may fare otherwise."""

    @property
    def succeeds(self) -> bool:
        """Whether the request comes to an application, or to a route that is meant to answer it."""
        return self.answered_by == "application" or (
            self.details == "direct_response" and self.status not in (0, 404, 503)
        )


@dataclass(frozen=True, slots=True)
class HopSummary:
    """A request at one proxy, as its access log has it."""

    proxy: str
    method: str
    path: str
    authority: str
    status: int
    flags: str
    details: str
    cluster: str
    host: str
    route: str
    log: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole answer."""

    question: Question
    verdict: Verdict
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...] = ()
    hops: tuple[HopSummary, ...] = ()
    command: str = ""
    """The curl command that sends the request, as it is typed on this machine; else the question's."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, as the module says."""
        return {
            "request": {**_request(self.question), "curl": self.command or self.question.curl},
            "outcome": _outcome(self.verdict),
            "steps": [_flat(each) for each in self.steps],
            "findings": [_flat(each) for each in self.findings],
            "hops": [dataclasses.asdict(each) for each in self.hops],
        }


def _request(question: Question) -> dict[str, Any]:
    return {
        "method": question.method,
        "url": question.url,
        "authority": question.authority,
        "headers": [list(each) for each in question.headers],
        "via": question.via,
        "from": question.source,
    }


def _outcome(verdict: Verdict) -> dict[str, Any]:
    flags = [each for each in verdict.flags.split(",") if each]
    words = flag_words(verdict.flags)
    found = dataclasses.asdict(verdict)
    found["flags"] = [{"flag": flag, "words": said} for flag, said in zip(flags, words, strict=True)]
    found["details_words"] = details_words(verdict.details)
    return found


def _flat(item: Any) -> dict[str, Any]:
    """A step or a finding with the fields of its origin among its own."""
    found = dataclasses.asdict(item)
    found |= found.pop("origin")
    if "candidates" in found:
        found["candidates"] = [{**each, **each.pop("origin")} for each in found["candidates"]]
    return found
