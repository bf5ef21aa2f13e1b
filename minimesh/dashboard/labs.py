"""Labs: steps that a learner goes through, each with a check that real requests pass by themselves.

A lab is a ConfigMap with the label `minimesh.dev/lab: "true"`, usually `lab.yaml` beside the configuration
that it is about: a teacher writes one without touching code, and kubectl takes it like everything else.

    data:
      title: Two versions behind one host
      steps: |
        - id: only-v2
          title: All requests go to V2
          text: Ask a few times. Every answer says V2.
          command: curl -H Host:gs.xebia.com localhost:8080/
          request: {method: GET, path: /, headers: [[Host, gs.xebia.com]]}
          check: {at_least: 5, status: 200, host: gs.xebia.com, pods: gsservice-v2, never: gsservice-v1}

What a check may ask of the requests that proxies tell of: `status`, `flag`, `method`, `path` (a prefix),
`host`, `side` (gateway, outbound, inbound; gateway and outbound where it is silent), `proxy` and `pods`
(beginnings of names of the pod that tells, and of the endpoint); `at_least` such requests (1), which have
come to `different_pods` at least. A request that fits all of this but came to a pod called `never` begins the
count anew.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minimesh.config.document import LAB_LABEL
from minimesh.config.labs import TITLE, read_steps

if TYPE_CHECKING:
    from minimesh.config.resources import Resource


class LabError(ValueError):
    """A lab that cannot be used; the text says what is wrong with it."""


@dataclass(slots=True)
class Check:
    """One step's expectation, and how far it has come."""

    wanted: Mapping[str, Any]
    seen: int = 0
    pods: set[str] = field(default_factory=set)

    def take(self, entry: Mapping[str, Any]) -> bool:
        """Take in what a proxy told; whether the expectation is met by now."""
        if not self._fits(entry):
            return False
        pod = _short(entry["upstream_pod"])
        if "never" in self.wanted and pod.startswith(str(self.wanted["never"])):
            self.seen, self.pods = 0, set()
            return False
        if not pod.startswith(str(self.wanted.get("pods", ""))):
            return False
        self.seen += 1
        if pod:
            self.pods.add(pod)
        return self.is_met

    @property
    def is_met(self) -> bool:
        enough = self.seen >= int(self.wanted.get("at_least", 1))
        return enough and len(self.pods) >= int(self.wanted.get("different_pods", 0))

    def _fits(self, entry: Mapping[str, Any]) -> bool:
        wanted = self.wanted
        sides = (wanted["side"],) if "side" in wanted else ("gateway", "outbound")
        host = str(entry["authority"]).partition(":")[0]
        return (
            entry["side"] in sides
            and wanted.get("status", entry["status"]) == entry["status"]
            and ("flag" not in wanted or wanted["flag"] in [each["flag"] for each in entry["flags"]])
            and wanted.get("method", entry["method"]) == entry["method"]
            and str(entry["path"]).startswith(str(wanted.get("path", "")))
            and wanted.get("host", host) == host
            and _short(entry["proxy"]).startswith(str(wanted.get("proxy", "")))
        )


@dataclass(slots=True)
class Step:
    """One step. `check` None: only the learner can say that it is done."""

    id: str
    title: str
    text: str
    command: str
    request: Mapping[str, Any] | None
    check: Check | None
    done: bool = False


@dataclass(frozen=True, slots=True)
class Lab:
    """One lab; its id is the ConfigMap's `NAMESPACE/NAME`."""

    id: str
    title: str
    steps: tuple[Step, ...]


class Labs:
    """All labs of a mesh and the learner's progress, which is kept in a file."""

    def __init__(self, progress: Path) -> None:
        self._progress = progress
        self._read: dict[str, str] = {}
        self.labs: list[Lab] = []
        self.problems: list[str] = []

    def update(self, resources: Iterable[Resource]) -> bool:
        """Take on the labs among these ConfigMaps; whether there was anything new."""
        wanted = [each for each in resources if each.metadata.labels.get(LAB_LABEL) == "true"]
        texts = {f"{each.namespace}/{each.name}": str(each.spec) for each in wanted}
        if texts == self._read:
            return False
        self._read, self.labs, self.problems = texts, [], []
        for resource in wanted:
            try:
                self.labs.append(read_lab(resource))
            except LabError as error:
                self.problems.append(str(error))
        self._restore()
        return True

    def take(self, entry: Mapping[str, Any]) -> bool:
        """Let all checks see a request; whether a step was finished by it."""
        finished = False
        for step in self._steps():
            if step.check is not None and not step.done and step.check.take(entry):
                step.done = finished = True
        if finished:
            self._save()
        return finished

    def mark(self, lab: str, step: str, *, done: bool) -> None:
        """What the learner says of a step. Raises KeyError for one that there is not."""
        for each in self.labs:
            for candidate in each.steps:
                if (each.id, candidate.id) == (lab, step):
                    candidate.done = done
                    if candidate.check is not None and not done:
                        candidate.check.seen, candidate.check.pods = 0, set()
                    self._save()
                    return
        raise KeyError(f"{lab}/{step}")

    def shown(self) -> dict[str, Any]:
        """All labs as plain data."""
        return {"labs": [_shown(each) for each in self.labs], "problems": self.problems}

    def _steps(self) -> list[Step]:
        return [step for lab in self.labs for step in lab.steps]

    def _restore(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            done = set(json.loads(self._progress.read_text(encoding="utf-8")))
            for lab in self.labs:
                for step in lab.steps:
                    step.done = f"{lab.id}/{step.id}" in done

    def _save(self) -> None:
        done = [f"{lab.id}/{step.id}" for lab in self.labs for step in lab.steps if step.done]
        with contextlib.suppress(OSError):  # progress is a comfort: without a place for it the labs go on
            self._progress.write_text(json.dumps(done), encoding="utf-8")


def read_lab(resource: Resource) -> Lab:
    """Read a lab's ConfigMap. Raises LabError."""
    where = resource.source.file or str(resource.key)
    data: Mapping[str, str] = resource.spec.data
    found = read_steps(data)
    if found.problems:
        raise LabError(f"{where}: {found.problems[0]}")
    steps = tuple(_step(number, each) for number, each in enumerate(found.steps))
    return Lab(f"{resource.namespace}/{resource.name}", data.get(TITLE, resource.name), steps)


def _step(number: int, found: Mapping[str, Any]) -> Step:
    check = found.get("check")
    return Step(
        id=str(found.get("id") or number + 1),
        title=str(found["title"]),
        text=str(found.get("text") or ""),
        command=str(found.get("command") or ""),
        request=found.get("request"),
        check=Check(check) if check is not None else None,
    )


def _shown(lab: Lab) -> dict[str, Any]:
    return {
        "id": lab.id,
        "title": lab.title,
        "steps": [
            {
                "id": step.id,
                "title": step.title,
                "text": step.text,
                "command": step.command,
                "request": step.request,
                "check": dict(step.check.wanted) if step.check is not None else None,
                "seen": step.check.seen if step.check is not None else 0,
                "pods": len(step.check.pods) if step.check is not None else 0,
                "done": step.done,
            }
            for step in lab.steps
        ],
    }


def _short(name: str) -> str:
    return name.rpartition("/")[2]
