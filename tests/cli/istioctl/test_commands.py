"""Commands as they are typed, without a mesh: dumps in files, manifests, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from minimesh.cli.istioctl import istioctl
from tests.cli.istioctl import dumps

CLUSTERS = [{"name": "outbound|8000||httpbin.default.svc.cluster.local", "lb_policy": "LEAST_REQUEST"}]
GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
"""


@pytest.fixture(autouse=True)
def no_mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIMESH_STATE", str(tmp_path / "state"))


@pytest.fixture
def dump(tmp_path: Path) -> str:
    file = tmp_path / "config_dump.json"
    file.write_text(json.dumps(dumps.config_dump(clusters=CLUSTERS)))
    return str(file)


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(istioctl, arguments, input=text)


@pytest.mark.parametrize("words", [("proxy-config", "cluster"), ("pc", "clusters"), ("pc", "c")])
def test_a_dump_in_a_file_needs_no_mesh(words: tuple[str, ...], dump: str) -> None:
    shown = run(*words, "-f", dump, "--fqdn", "httpbin", "-o", "yaml")
    assert shown.exit_code == 0
    assert shown.output == (
        "- lbPolicy: LEAST_REQUEST\n  name: outbound|8000||httpbin.default.svc.cluster.local\n\n"
    )


def test_a_dump_may_come_from_standard_input(dump: str) -> None:
    shown = run("pc", "c", "--file", "-", "-ojson", text=Path(dump).read_text())
    assert [each["lbPolicy"] for each in json.loads(shown.output)] == ["LEAST_REQUEST"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("pc", "cluster"), "Error: cluster requires pod name or --file parameter"),
        (("pc", "listener", "-f", "DUMP"), "Error: no listeners found"),
        (("pc", "cluster", "-f", "DUMP", "-o", "xml"), 'Error: output format "xml" not supported'),
        (("pc", "cluster", "-f", "nowhere.json"), "Error: open nowhere.json: no such file or directory"),
        (("pc", "log"), "Error: log requires pod name or --selector"),
        (("pc", "cluster", "web"), "minimesh: no mesh runs"),
    ],
)
def test_refusals_are_in_istioctls_words(arguments: tuple[str, ...], error: str, dump: str) -> None:
    refused = run(*(dump if each == "DUMP" else each for each in arguments))
    assert refused.exit_code == 1
    assert error in refused.output


def test_analyze_says_when_there_is_nothing_to_say(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(GATEWAY)
    found = run("analyze", "--use-kube=false", str(file))
    assert (found.exit_code, found.output) == (
        0,
        f"\n✔ No validation issues found when analyzing {file}.\n",
    )


def test_analyze_fails_on_errors_and_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(GATEWAY.replace("ingressgateway", "nobody"))
    found = run("analyze", "--use-kube=false", str(tmp_path))
    assert found.exit_code == 79
    assert found.output.startswith(
        f'Error [IST0101] (Gateway default/gw {file}:5) Referenced selector not found: "istio=nobody"\n'
    )
    assert f"Error: Analyzers found issues when analyzing {tmp_path}." in found.output


def test_analyze_for_programs(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(GATEWAY.replace("ingressgateway", "nobody"))
    found = run("analyze", "--use-kube=false", "-o", "json", "--failure-threshold", "Error", str(file))
    (message,) = json.loads(found.stdout)
    assert message == {
        "code": "IST0101",
        "documentationUrl": "https://istio.io/v1.27/docs/reference/config/analysis/ist0101/",
        "level": "Error",
        "message": 'Referenced selector not found: "istio=nobody"',
        "origin": "Gateway default/gw",
        "reference": f"{file}:5",
    }


@pytest.mark.parametrize("name", ["Gateway gw.default", "Gateway *.default", "Gateway *", "*"])
def test_what_is_suppressed_is_neither_shown_nor_counted(tmp_path: Path, name: str) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(GATEWAY.replace("ingressgateway", "nobody"))
    found = run("analyze", "--use-kube=false", "-S", f"IST0101={name}", str(file))
    assert found.exit_code == 0


def test_what_suppresses_nothing_is_told(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(GATEWAY)
    found = run("analyze", "--use-kube=false", "-S", "IST0101", str(file))
    assert (found.exit_code, found.stderr) == (
        1,
        "Error: IST0101 is not a valid suppression value. See istioctl analyze --help\n",
    )
    found = run("analyze", "--use-kube=false", "-S", "FOO=Gateway gw", str(file))
    assert "'FOO' is an unknown message code and will not have any effect." in found.stderr


def test_bytes_that_are_no_text_are_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_bytes(b"\xff\xfe")
    found = run("analyze", "--use-kube=false", str(file))
    assert (found.exit_code, found.stderr) == (1, f"Error: {file}: not UTF-8: invalid start byte\n")


@pytest.mark.parametrize(
    "shared",
    [
        ("-i", "istio-system"),
        ("--istioNamespace=istio-system",),
        ("--vklog", "9"),
        ("-n", "default"),
        ("--namespace=default",),
    ],
)
def test_options_of_all_commands_may_stand_anywhere(shared: tuple[str, ...], dump: str) -> None:
    line = ("pc", "cluster", "-f", dump)
    plain = run(*line)
    assert plain.exit_code == 0
    for place in range(len(line)):
        if line[place - 1] != "-f":
            assert run(*line[:place], *shared, *line[place:]).output == plain.output
    assert run(*line, *shared).output == plain.output


def test_a_context_or_kubeconfig_that_is_not_the_meshs_is_refused(tmp_path: Path, dump: str) -> None:
    refused = run("pc", "cluster", "-f", dump, "--context", "production")
    assert (refused.exit_code, refused.output) == (1, 'Error: context "production" does not exist\n')
    refused = run("pc", "cluster", "-f", dump, "--kubeconfig", str(tmp_path / "nowhere"))
    assert "cannot read the kubeconfig" in refused.output


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ("nothing",),
            'Error: unknown command "nothing" for "istioctl"\nRun \'istioctl --help\' for usage.\n',
        ),
        (("pc", "nothing"), 'Error: unknown command "nothing" for "istioctl pc"\n'),
        (("tag", "list"), "Error: istioctl tag is not part of minimesh: "),
        (("x", "precheck"), "Error: istioctl x precheck is not part of minimesh: "),
    ],
)
def test_what_is_no_command_is_incorrect_usage(arguments: tuple[str, ...], error: str) -> None:
    refused = run(*arguments)
    assert refused.exit_code == 64
    assert refused.output.startswith(error)


@pytest.mark.parametrize("words", [(), ("pc",), ("pc", "route")])
def test_help_is_a_command_too(words: tuple[str, ...]) -> None:
    asked = run(*words, "--help").output.splitlines()
    assert run("help", *words).output.splitlines()[1:] == asked[1:]


def test_validate_tells_which_files_are_valid(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(GATEWAY)
    assert run("validate", "-f", str(good)).output == f'"{good}" is valid\n'
    bad.write_text(GATEWAY.replace("HTTP}", "HTTTP}").replace('["*"]', "[]"))
    refused = run("validate", "-f", str(tmp_path))
    assert refused.exit_code == 1
    first, *errors = refused.output.replace(f'"{good}" is valid\n', "").rstrip().splitlines()
    assert first == "Error: 2 errors occurred:"
    assert [each.split(": ")[:2] for each in errors] == [
        ["\t* Gateway default/gw", "spec.servers[0].port.protocol"],
        ["\t* Gateway default/gw", "spec.servers[0].hosts"],
    ]
    assert "you must specify resources by --filename" in run("validate").output
