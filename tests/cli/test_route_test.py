"""`minimesh test` and `minimesh analyze`: files judged without a mesh."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from minimesh.cli.main import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

MESH = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, version: v1}}
    spec: {containers: [{name: web, image: hashicorp/http-echo, ports: [{containerPort: 8080}]}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec:
  host: web
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [a.com, web]
  gateways: [gw, mesh]
  http:
  - name: moved
    match: [{uri: {prefix: /moved}}]
    redirect: {uri: /here, redirectCode: 302}
  - name: direct
    match: [{uri: {exact: /direct}}]
    directResponse: {status: 418, body: {string: "short"}}
  - name: rewritten
    match: [{uri: {prefix: /old}}]
    rewrite: {uri: /new, authority: other.com}
    headers: {request: {set: {x-a: "1"}, remove: [x-b]}}
    route: [{destination: {host: web, subset: v1}}]
  - name: split
    match: [{uri: {prefix: /split}}]
    route:
    - {destination: {host: web, subset: v1}, weight: 75}
    - {destination: {host: web, subset: v2}, weight: 25}
"""


def run(folder: Path, request: str, expect: str, *arguments: str) -> Result:
    """The result of one case about MESH."""
    (folder / "mesh.yaml").write_text(MESH)
    cases = folder / "cases.routes"
    cases.write_text(
        f"config: [mesh.yaml]\ncases:\n- name: the case\n  request: {request}\n  expect: {expect}\n"
    )
    return CliRunner().invoke(main, ["test", *arguments, str(cases)])


@pytest.mark.parametrize(
    ("request_", "expect"),
    [
        ("{url: 'http://a.com/moved/x'}", "{status: 302, redirect: 'http://a.com/here', route: moved}"),
        ("{url: 'http://a.com/direct'}", "{status: 418, body: short, route: direct}"),
        (
            "{url: 'http://a.com/old/x', headers: {x-b: '2', x-c: '3'}}",
            "{destination: {host: web, subset: v1}, path: /new/x, host: other.com, "
            "headers: {x-a: '1', x-c: '3'}, withoutHeaders: [x-b], route: rewritten}",
        ),
        (
            "{url: 'http://a.com/split'}",
            "{destinations: [{host: web, subset: v1, weight: 75}, "
            "{host: web.default, subset: v2, weight: 25}]}",
        ),
        ("{url: 'http://a.com/split'}", "{destination: {host: web, port: 80}}"),
        ("{url: 'http://a.com/'}", "{noRoute: true, status: 404, flags: NR}"),
        ("{url: 'http://localhost:9/'}", "{refused: true}"),
        ("{url: 'http://web/direct', from: web}", "{status: 418}"),
        ("{url: 'http://a.com/direct', via: ingressgateway, method: POST}", "{status: 418}"),
    ],
)
def test_this_is_as_expected(tmp_path: Path, request_: str, expect: str) -> None:
    result = run(tmp_path, request_, expect)
    assert (result.exit_code, result.output) == (0, "ok    the case\n1 case, all as expected.\n")


@pytest.mark.parametrize(
    ("request_", "expect", "said"),
    [
        ("{url: 'http://a.com/direct'}", "{status: 200}", "status: expected 200, got 418"),
        ("{url: 'http://a.com/direct'}", "{body: long}", "body: expected 'long', got 'short'"),
        ("{url: 'http://a.com/direct'}", "{redirect: '/x'}", "redirect: expected /x, got 418"),
        ("{url: 'http://a.com/direct'}", "{destination: {host: web}}", "the request goes nowhere (418)"),
        ("{url: 'http://a.com/direct'}", "{noRoute: true}", "a route takes the request: 418"),
        ("{url: 'http://a.com/direct'}", "{refused: true}", "the connection is taken: 418"),
        ("{url: 'http://a.com/'}", "{flags: UH}", "flags: expected UH, got NR"),
        ("{url: 'http://a.com/old'}", "{path: /old, host: a.com}", "path: expected /old, got /new"),
        ("{url: 'http://a.com/old'}", "{headers: {x-a: '2'}}", "header x-a: expected 2, got 1"),
        ("{url: 'http://a.com/old'}", "{withoutHeaders: [x-a]}", "header x-a: expected none, got 1"),
        ("{url: 'http://a.com/old'}", "{route: moved}", "route: expected moved, got rewritten"),
        (
            "{url: 'http://a.com/split'}",
            "{destination: {host: web, subset: v1}}",
            "expected web subset v1, got outbound|80|v1|web.default.svc.cluster.local 75%, "
            "outbound|80|v2|web.default.svc.cluster.local 25%",
        ),
        (
            "{url: 'http://a.com/split'}",
            "{destinations: [{host: web, subset: v1}]}",
            "outbound|80|v2|web.default.svc.cluster.local was not expected",
        ),
        ("{url: 'http://web/', from: nobody}", "{refused: true}", "there is no pod 'nobody'"),
        ("{url: 'http://a.com/', via: nobody}", "{refused: true}", "there is no gateway 'nobody'"),
        ("{url: 'http://localhost:9/'}", "{path: /, route: moved}", "nothing is sent on (no answer)"),
        ("{url: 'http://localhost:9/'}", "{route: moved}", "route: expected moved, got none"),
        (
            "{url: 'http://localhost:9/'}",
            "{destination: {host: web}}",
            "the request goes nowhere (no answer)",
        ),
        ("{url: 'http://a.com/'}", "{withoutHeaders: [x-a]}", "nothing is sent on (404 NR)"),
        ("{url: 'http://a.com/direct'}", "{route: direct, host: a.com}", "nothing is sent on (418)"),
        ("{url: 'ftp://web/'}", "{status: 200}", "is no URL of http or https"),
    ],
)
def test_this_is_not_and_what_is_said_of_it(tmp_path: Path, request_: str, expect: str, said: str) -> None:
    result = run(tmp_path, request_, expect, "--quiet")
    assert result.exit_code == 1
    assert f"FAIL  the case   [{tmp_path}/cases.routes:3]" in result.output
    assert said in result.output
    assert result.output.endswith("1 case, 1 failed.\n")


def test_a_case_that_fails_says_why(tmp_path: Path) -> None:
    result = run(tmp_path, "{url: 'http://a.com/old'}", "{status: 404}")
    assert "mesh.yaml:" in result.output
    assert "VirtualService default/web" in result.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "cases:\n- name: a\n  request: {urll: http://a/}\n  expect: {}\n",
            ":3:13: error: cases[0].request.urll",
        ),
        ("cases: []\n", "names no configuration"),
        ("config: [nowhere]\ncases: []\n", "nowhere does not exist"),
    ],
)
def test_a_file_that_cannot_be_tried_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "cases.routes"
    file.write_text(text)
    result = CliRunner().invoke(main, ["test", str(file)])
    assert result.exit_code == 1
    assert said in result.output


def test_the_labs_route_as_their_file_says() -> None:
    result = CliRunner().invoke(main, ["test", str(ROOT / "docs/examples/routes.yaml")])
    assert result.exit_code == 0, result.output


def test_another_configuration_can_be_tried_by_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(MESH.replace("status: 418", "status: 200"))
    result = run(
        tmp_path, "{url: 'http://a.com/direct'}", "{status: 200}", "--config", str(tmp_path / "other.yaml")
    )
    assert result.exit_code == 0, result.output


def test_analyze_says_what_istios_analyzers_say_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "rule.yaml").write_text(MESH.replace("gateways: [gw, mesh]", "gateways: [none]"))
    result = CliRunner().invoke(main, ["analyze", str(tmp_path)])
    assert result.exit_code == 79
    assert "[IST0101] (VirtualService default/web" in result.output
