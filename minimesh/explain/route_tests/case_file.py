"""A file of route tests: its fields, and the reading of it.

    config: [configs/gs]            # files and folders, from where the case file is
    cases:
    - name: the home page is served by v2
      request: {url: "http://gs.xebia.com/", via: ingressgateway}
      expect:
        destination: {host: gsservice, subset: v2}

docs/route-tests.md tells of each field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from minimesh.config.decoding import composed
from minimesh.config.diagnostics import Diagnostic, Location
from minimesh.config.field_reader import FieldReader
from minimesh.config.schema import FieldType, Message, Percentage, Req, UInt32, message
from minimesh.config.source_map import SourceMap


@message
class Request(Message):
    """A request as a client sends it. `via` a gateway, or `from` a pod; a gateway if neither is given."""

    url: Req[str] = ""
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    via: str = ""
    from_: str = ""


@message
class ExpectedDestination(Message):
    """A service, one of its subsets or ports, and its share of the requests in percent."""

    host: Req[str] = ""
    subset: str | None = None
    port: UInt32 = 0
    weight: Percentage | None = None


@message
class Expectation(Message):
    """What is to come of it; what is not given is not looked at."""

    destination: ExpectedDestination | None = None
    destinations: tuple[ExpectedDestination, ...] = ()
    route: str | None = None
    path: str | None = None
    host: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    without_headers: tuple[str, ...] = ()
    status: UInt32 | None = None
    redirect: str | None = None
    body: str | None = None
    flags: str | None = None
    no_route: bool = False
    refused: bool = False


@message
class Case(Message):
    """One request and what is expected of it."""

    name: Req[str] = ""
    request: Req[Request | None] = None
    expect: Req[Expectation | None] = None


@message
class CaseFile(Message):
    """All cases of a file, and the configuration that they are about."""

    config: tuple[str, ...] = ()
    cases: Req[tuple[Case, ...]] = ()


@dataclass(frozen=True, slots=True)
class LocatedCase:
    """A case and where it is written."""

    case: Case
    location: Location


@dataclass(frozen=True, slots=True)
class ReadCases:
    """What a file says. Its cases count only when none of the findings is an error."""

    config: tuple[str, ...]
    cases: tuple[LocatedCase, ...]
    diagnostics: tuple[Diagnostic, ...]


def read_cases(text: str, file: str) -> ReadCases:
    """Read a file of cases; several YAML documents add up. Never raises for bad input."""
    diagnostics: list[Diagnostic] = []
    config: list[str] = []
    cases: list[LocatedCase] = []
    for node, first_line in composed(text, file, diagnostics):
        reader = FieldReader(file, first_line, diagnostics)
        found = reader.value(node, FieldType("scalar", CaseFile), "")
        if isinstance(found, CaseFile):
            source = SourceMap(file, reader.places)
            config.extend(found.config)
            cases += [
                LocatedCase(case, source.location(f"cases[{index}]"))
                for index, case in enumerate(found.cases)
            ]
    return ReadCases(tuple(config), tuple(cases), tuple(diagnostics))
