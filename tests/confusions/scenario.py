"""One confusion as a scenario: configuration, request, what the user sees, and what explain says to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from minimesh.config.analysis import analyze, default_documents
from minimesh.config.analysis.document import read_documents
from minimesh.config.analysis.message import Message
from minimesh.explain.explaining import explain
from minimesh.explain.ladder import Explanation, Finding
from minimesh.explain.patches import as_yaml, patched
from minimesh.explain.question import Question
from minimesh.explain.world import World

SCENARIOS = Path(__file__).parent / "scenarios"
BASE = (SCENARIOS / "base.yaml").read_text()


@dataclass(frozen=True)
class Scenario:
    """A file of `scenarios/`. `sees` and `mended`: what becomes of the request, and after the patch."""

    slug: str
    number: int
    title: str
    asked: str
    request: Mapping[str, Any]
    sees: Mapping[str, Any]
    topic: str
    config: str
    sentence: str = ""
    analyzer: str = ""
    mended: Mapping[str, Any] = field(default_factory=dict)
    without: Sequence[str] = ()

    @property
    def question(self) -> Question:
        asked = self.request
        return Question.parse(
            asked.get("method", "GET"),
            asked["url"],
            tuple(asked.get("headers", ())),
            via=asked.get("via", ""),
            source=asked.get("from", ""),
        )

    @property
    def base(self) -> str:
        """What all scenarios share, but for what this one leaves out or says otherwise."""
        own = {(each["kind"], each["metadata"]["name"]) for each in yaml.safe_load_all(self.config)}
        kept = [
            each
            for each in yaml.safe_load_all(BASE)
            if each["kind"] not in self.without and (each["kind"], each["metadata"]["name"]) not in own
        ]
        return as_yaml(kept)

    @property
    def texts(self) -> dict[str, str]:
        return {"base.yaml": self.base, f"{self.slug}.yaml": self.config}

    @cached_property
    def explanation(self) -> Explanation:
        return self.explained()

    def explained(self) -> Explanation:
        return explain(World.of_files(self.texts), self.question)

    def finding(self) -> Finding | None:
        return next((each for each in self.explanation.findings if each.topic == self.topic), None)

    def mended_texts(self) -> dict[str, str]:
        """All documents with the finding's patch applied."""
        finding = self.finding()
        assert finding is not None
        assert finding.patch, "there is no patch"
        documents = [each for text in self.texts.values() for each in yaml.safe_load_all(text)]
        return {"mended.yaml": as_yaml(patched(documents, finding.patch))}

    def mended_explanation(self) -> Explanation:
        return explain(World.of_files(self.mended_texts()), self.question)

    def analyzed(self) -> list[Message]:
        """What Istio's analyzers say about the same documents."""
        documents = [
            each for name, text in self.texts.items() for each in read_documents(text, name, "default")
        ]
        return analyze([*documents, *default_documents()], lambda _: True)


def agrees(wanted: Mapping[str, Any], found: Explanation) -> list[str]:
    """What in an explanation is otherwise than wanted; empty when nothing is."""
    verdict = found.verdict
    asked = found.steps[-1].text if found.steps[-1].kind == "application" else ""
    actual = {
        "status": verdict.status,
        "flags": verdict.flags,
        "details": verdict.details,
        "body": verdict.body,
        "by": verdict.answered_by,
        "refused": verdict.status == 0 and verdict.answered_by == "nobody",
        "path": path[1] if (path := re.search(r"asked: \S+ (\S+),", asked)) else "",
        "pod": verdict.answered_at.partition("/")[2].rsplit("-", 2)[0],
        "logged": any(hop.log for hop in found.hops),
        "ruled": any("VirtualService" in step.origin.resource for step in found.steps),
    }
    return [
        f"{name}: {actual[name]!r}, not {value!r}" for name, value in wanted.items() if actual[name] != value
    ]


def load() -> list[Scenario]:
    """All scenarios in the order of their numbers."""
    files = sorted(SCENARIOS.glob("[0-9]*.yaml"))
    return [Scenario(slug=each.stem, **yaml.safe_load(each.read_text())) for each in files]
