"""Each confusion in a mesh that runs: the request is sent, and what comes back is what explain foretold."""

from __future__ import annotations

import dataclasses
import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from minimesh.explain.explaining import explain
from minimesh.explain.patches import as_yaml
from minimesh.explain.question import Question
from minimesh.explain.world import World
from tests.confusions.scenario import BASE, Scenario, load
from tests.end_to_end.mesh import Mesh, wait_until

pytestmark = pytest.mark.slow

LIMIT_S = 60.0
#: Kinds that stay, so that no pod starts anew for each scenario.
_LASTING = frozenset({"Deployment", "Service"})
_LASTING_DOCUMENTS = [each for each in yaml.safe_load_all(BASE) if each["kind"] in _LASTING]


class MeshWithScenarios:
    """A mesh over a folder: one file that lasts, one that each scenario writes anew."""

    def __init__(self, folder: Path) -> None:
        (folder / "configs").mkdir()
        (folder / "configs" / "lasting.yaml").write_text(as_yaml(_LASTING_DOCUMENTS))
        self.mesh = Mesh(folder, (), (str(folder / "configs"),))
        self._file = folder / "configs" / "scenario.yaml"
        self._broken = folder / "configs" / "broken.yaml"
        self.mesh.console_line("^Try:")
        self._url = f"http://127.0.0.1:{self._run()['debug_port']}"

    def _run(self) -> dict[str, Any]:
        run: dict[str, Any] = json.loads((self.mesh.state / "run.json").read_text())
        return run

    def ask(self, page: str) -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self._url + page, timeout=20) as answer:
            return json.load(answer)

    def apply(self, scenario: Scenario) -> None:
        """Bring a scenario into force: all proxies have it, and the mesh says so of its file."""
        documents = [each for each in yaml.safe_load_all(scenario.base) if each["kind"] not in _LASTING]
        own = list(yaml.safe_load_all(scenario.config))
        rejected = scenario.topic == "file-not-applied"
        marker = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"in-{scenario.slug}"}}
        documents.append(marker)
        self._broken.write_text(as_yaml(own if rejected else []))
        self._file.write_text(as_yaml(documents if rejected else [*documents, *own]))
        wait_until(lambda: self._in_force(f"in-{scenario.slug}"), f"{scenario.slug} in force", LIMIT_S)

    def _in_force(self, marker: str) -> bool:
        """Whether what was pushed has this namespace, and every proxy has taken it."""
        pushed = {each["document"]["metadata"]["name"] for each in self.ask("/debug/snapshot")["resources"]}
        proxies = self.ask("/debug/status")["proxies"]
        states = {kind["state"] for proxy in proxies for kind in proxy["types"].values()}
        return marker in pushed and states <= {"SYNCED", "NOT SENT", "IGNORED"}

    def send(self, question: Question) -> tuple[int, str]:
        """(status, body) of the real answer; status 0 for a refused connection."""
        arguments = ["-o", "-", "-w", "\n%{http_code}", "-X", question.method]
        for name, value in (("Host", question.authority), *question.headers):
            arguments += ["-H", f"{name}: {value}"]
        if question.source:
            sent = self.mesh.command(
                "exec", f"deploy/{question.source}", "--", "curl", "-sS", *arguments, question.url
            )
        else:
            sent = self.mesh.curl(*arguments, f"localhost:8080{question.target}")
        body, _, status = sent.stdout.rpartition("\n")
        return int(status or 0), body

    def at_its_port(self, question: Question) -> Question:
        """`localhost:8080` is this mesh's ingress, whatever its port."""
        if question.host != "localhost":
            return question
        authority = question.authority.replace("localhost:8080", f"localhost:{self.mesh.port}")
        return dataclasses.replace(question, port=self.mesh.port, authority=authority)

    def world(self) -> World:
        return World.of_mesh(self.ask("/debug/snapshot"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshWithScenarios]:
    made = MeshWithScenarios(tmp_path_factory.mktemp("confusions"))
    yield made
    made.mesh.stop()


@pytest.mark.parametrize("scenario", load(), ids=lambda each: each.slug)
def test_what_was_foretold_happens(scenario: Scenario, running: MeshWithScenarios) -> None:
    running.apply(scenario)
    foretold = explain(running.world(), running.at_its_port(scenario.question))
    assert scenario.topic in {each.topic for each in foretold.findings}
    status, body = running.send(scenario.question)
    if foretold.verdict.answered_by == "application":
        assert _reached_application(scenario, running), (status, body)
    else:
        assert (status, body) == (foretold.verdict.status, foretold.verdict.body)


def _reached_application(scenario: Scenario, running: MeshWithScenarios) -> bool:
    """Whether the log of the first proxy says that the answer came from the application."""
    told = running.mesh.command("explain", "--last", _last_status(scenario, running), "-o", "json")
    lines = json.loads(told.stdout)["lines"]
    return lines[0]["details"] == "via_upstream"


def _last_status(scenario: Scenario, running: MeshWithScenarios) -> str:
    ask: Callable[[], int] = lambda: running.send(scenario.question)[0]  # noqa: E731
    return str(wait_until(ask, "an answer"))


def test_a_request_that_has_happened_is_found_by_its_id(running: MeshWithScenarios) -> None:
    scenario = next(each for each in load() if each.number == 1)
    running.apply(scenario)
    mine = "3170f1cf-0000-4000-8000-000000000001"
    question = dataclasses.replace(
        scenario.question, source="sleep", via="", host="web", port=80, authority="web"
    )
    running.send(dataclasses.replace(question, headers=(("x-request-id", mine),)))

    def logged() -> str:
        told = running.mesh.command("explain", "--request-id", mine, "-o", "json")
        return told.stdout if told.returncode == 0 and len(json.loads(told.stdout)["lines"]) == 2 else ""

    told = json.loads(wait_until(logged, "both proxies' lines", LIMIT_S))
    assert [line["cluster"].partition("|")[0] for line in told["lines"]] == ["outbound", "inbound"]
    assert told["outcome"]["answered_by"] == "application"
    assert told["differences"] == []


def test_configuration_that_was_replaced_still_explains_its_requests(running: MeshWithScenarios) -> None:
    first, later = load()[0], load()[15]
    running.apply(first)
    running.send(first.question)
    running.apply(later)
    told = json.loads(running.mesh.command("explain", "--last", "404", "-o", "json").stdout)
    assert "nearest-route" in {each["topic"] for each in told["findings"]}
    assert told["lines"][0]["authority"] == "shop.example.com"
    assert any("01-no" in each["file"] or "scenario" in each["file"] for each in told["findings"])
