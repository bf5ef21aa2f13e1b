"""What the command line says: help, refusals with a remedy, tables, what to try."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from minimesh.__main__ import run
from minimesh.cli.console import AccessLogConsole, DiagnosticsConsole, PodConsole, lines_to_try
from minimesh.cli.execute import _options_after_target
from minimesh.cli.main import main
from minimesh.cli.pods import find_container, find_pod
from minimesh.cli.refusal import Refusal, os_refusal
from minimesh.cli.table import pod_table
from minimesh.config.decoding import decode
from minimesh.config.kubernetes.pod import PodSpec
from minimesh.config.persistence import Persistence
from minimesh.config.resources import ObjectMeta, Resource
from minimesh.config.store import Snapshot
from minimesh.platform.state import Run, StateFolder

GOOD = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
"""


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINIMESH_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "state"


@pytest.fixture
def held(state_folder: Path) -> Iterator[StateFolder]:
    """The state folder as a running mesh holds it."""
    state = StateFolder(state_folder)
    state.acquire()
    state.write_run(Run(os.getpid(), 0, 1, 1, 8080, ("configs/gs",)))
    yield state
    state.release()


def minimesh(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def refused(result: Result) -> str:
    """The one line of a refusal."""
    assert result.exit_code != 0
    assert result.stderr.startswith("minimesh: ")
    return result.stderr


def pod(
    name: str, workload: str, *, namespace: str = "default", ready: bool = True, **more: Any
) -> dict[str, Any]:
    containers = [
        {
            "name": c,
            "ready": ready,
            "restarts": 0,
            "log": f"/logs/{name}/{c}.log",
            "state": "Running",
            "message": "",
        }
        for c in ("app", "istio-proxy")
    ]
    row = {"name": name, "namespace": namespace, "workload": workload, "ready": ready, "ip": "127.10.1.2"}
    return {**row, "state": "Running", "containers": containers, "port_map": {}, **more}


class TestHelp:
    def test_every_command_is_listed(self) -> None:
        text = minimesh("--help").output
        for command in ("up", "down", "status", "validate", "logs", "exec", "proxy", "control-plane"):
            assert f"\n  {command} " in text

    def test_help_loads_neither_planes_nor_messages(self) -> None:
        code = (
            "import sys; from minimesh.cli.main import main; main(['--help'], standalone_mode=False); "
            "sys.exit(any(name in sys.modules for name in "
            "('asyncio', 'google.protobuf', 'minimesh.config', 'minimesh.control_plane', 'flask')))"
        )
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0

    def test_each_command_has_help(self) -> None:
        for command in ("up", "down", "status", "validate", "logs", "exec", "control-plane"):
            assert minimesh(command, "--help").exit_code == 0


class TestUpRefuses:
    def test_a_folder_that_does_not_exist(self) -> None:
        assert "configs/nowhere does not exist" in refused(minimesh("up", "configs/nowhere"))

    def test_a_second_mesh(self, held: StateFolder, tmp_path: Path) -> None:
        text = refused(minimesh("up", str(tmp_path)))
        assert f"a mesh runs already (process {os.getpid()})" in text
        assert "minimesh down" in text

    def test_a_port_in_use(self, tmp_path: Path, state_folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            text = refused(minimesh("up", str(tmp_path), "--ingress-port", str(port)))
        assert f"port {port} of localhost is in use" in text
        assert "--ingress-port" in text
        assert not StateFolder(state_folder).is_held()

    def test_a_broken_image_table(self, tmp_path: Path) -> None:
        (tmp_path / "images.yaml").write_text("images: 3")
        text = refused(minimesh("up", str(tmp_path), "--images", str(tmp_path / "images.yaml")))
        assert "expected a list under `images`" in text

    def test_an_image_that_nobody_knows(self, tmp_path: Path, state_folder: Path) -> None:
        (tmp_path / "web.yaml").write_text(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n"
            "  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n"
            "    spec: {containers: [{name: web, image: nginx}]}\n"
        )
        result = subprocess.run(
            [sys.executable, "-m", "minimesh", "up", str(tmp_path), "--ingress-port", str(_free_port())],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 1
        assert "minimesh: Deployment default/web: image 'nginx' is not in the image table" in result.stderr
        assert not StateFolder(state_folder).is_held()


class TestWithoutMesh:
    @pytest.mark.parametrize("command", [["status"], ["logs", "deploy/web"], ["exec", "web", "--", "true"]])
    def test_there_is_nothing_to_ask(self, command: list[str]) -> None:
        text = refused(minimesh(*command))
        assert "no mesh runs" in text
        assert "minimesh up" in text

    def test_there_is_nothing_to_stop(self) -> None:
        result = minimesh("down")
        assert (result.exit_code, result.output) == (0, "No mesh runs.\n")

    def test_purging_forgets_what_was_stored_once(self, state_folder: Path) -> None:
        state_folder.mkdir(parents=True, exist_ok=True)
        persistence = Persistence(state_folder)
        persistence.record(
            Resource(api_version="v1", kind="Pod", metadata=ObjectMeta(name="a"), spec=PodSpec())
        )
        persistence.close()
        said = minimesh("down", "--purge").output
        assert said == "No mesh runs.\nWhat was stored is forgotten.\n"
        assert minimesh("down", "--purge").output.endswith("There is nothing stored to forget.\n")


class TestValidate:
    def test_good_files(self, tmp_path: Path) -> None:
        (tmp_path / "web.yaml").write_text(GOOD)
        assert minimesh("validate", str(tmp_path)).exit_code == 0

    def test_an_error_with_its_place(self, tmp_path: Path) -> None:
        file = tmp_path / "web.yaml"
        file.write_text(GOOD.replace("spec: {ports: [{port: 80}]}", "spec:\n  prots: []"))
        result = minimesh("validate", str(tmp_path))
        assert result.exit_code == 1
        assert f"{file}:6:3: error: " in result.output
        assert "ports" in result.output

    def test_a_path_that_does_not_exist(self) -> None:
        assert "nowhere does not exist" in refused(minimesh("validate", "nowhere"))

    def test_a_folder_with_nothing_to_check(self, tmp_path: Path) -> None:
        (tmp_path / "README.md").touch()
        assert "there is no YAML or JSON file in" in refused(minimesh("validate", str(tmp_path)))


class TestFindingPods:
    PODS = (
        pod("web-1", "web", ready=False),
        pod("web-2", "web"),
        pod("gateway-1", "istio-ingressgateway", namespace="istio-system"),
    )

    @pytest.mark.parametrize(
        ("target", "namespace", "name"),
        [
            ("web-1", "default", "web-1"),
            ("pod/web-1", "default", "web-1"),
            ("deploy/web", "default", "web-2"),
            ("deployment/web", "default", "web-2"),
            ("deploy/istio-ingressgateway", "istio-system", "gateway-1"),
        ],
    )
    def test_by_name_or_deployment(self, target: str, namespace: str, name: str) -> None:
        assert find_pod(self.PODS, target, namespace)["name"] == name

    @pytest.mark.parametrize(
        ("target", "said"),
        [
            ("web-9", "minimesh status"),
            ("deploy/istio-ingressgateway", "add -n istio-system"),
            ("web", "write deploy/web"),
            ("svc/web", "'svc' is no kind"),
        ],
    )
    def test_what_is_not_there(self, target: str, said: str) -> None:
        with pytest.raises(Refusal, match=said):
            find_pod(self.PODS, target, "default")

    def test_containers(self) -> None:
        assert find_container(self.PODS[0], None)["name"] == "app"
        assert find_container(self.PODS[0], "istio-proxy")["name"] == "istio-proxy"
        with pytest.raises(Refusal, match="It has: app, istio-proxy"):
            find_container(self.PODS[0], "sidecar")


class TestLogsAndExec:
    def test_the_last_lines_of_a_log(self, held: StateFolder) -> None:
        log = held.log_path("default", "web-1", "app")
        log.write_text("one\ntwo\nthree\n")
        row = pod("web-1", "web")
        row["containers"][0]["log"] = str(log)
        held.write_pods([row])
        assert minimesh("logs", "deploy/web").output == "one\ntwo\nthree\n"
        assert minimesh("logs", "web-1", "--tail", "1").output == "three\n"

    def test_a_container_that_never_ran_says_why(self, held: StateFolder) -> None:
        row = pod("web-1", "web")
        row["containers"][0] |= {"log": "", "message": "image 'nginx' is not in the image table\nmore"}
        held.write_pods([row])
        assert "has not started: image 'nginx' is not in the image table" in refused(
            minimesh("logs", "web-1")
        )

    def test_a_command_runs_in_the_pods_environment_and_its_exit_code_is_ours(
        self, held: StateFolder
    ) -> None:
        environment = {"PATH": os.environ["PATH"], "http_proxy": "http://127.11.1.2:15080"}
        held.write_pods([pod("web-1", "web", environment={"app": environment})])
        result = subprocess.run(
            [sys.executable, "-m", "minimesh", "exec", "deploy/web", "-it", "--", "sh", "-c", "env; exit 4"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert result.returncode == 4
        assert "http_proxy=http://127.11.1.2:15080" in result.stdout
        assert "MINIMESH_STATE" not in result.stdout

    def test_a_program_that_is_not_installed(self, held: StateFolder) -> None:
        held.write_pods([pod("web-1", "web", environment={"app": {"PATH": "/nowhere"}})])
        result = minimesh("exec", "web-1", "--", "curl")
        assert result.exit_code == 127
        assert "'curl' is not installed" in result.stderr

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["--", "curl", "-n"], ("default", None, ["curl", "-n"])),
            (["-it", "-n", "other", "-c", "app", "--", "sh"], ("other", "app", ["sh"])),
            (["curl", "--", "x"], ("default", None, ["curl", "--", "x"])),
        ],
    )
    def test_kubectls_spellings(self, words: list[str], expected: tuple[str, str | None, list[str]]) -> None:
        assert _options_after_target("default", None, words) == expected


class TestConsole:
    VIRTUAL_SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [%s]
  gateways: [%s]
  http:
  - match: [{uri: {prefix: /one}}, {uri: {exact: /two}}, {uri: {regex: /t.*}}]
    route: [{destination: {host: web}}]
  - route: [{destination: {host: web}}]
"""

    def try_lines(self, hosts: str, gateways: str) -> list[str]:
        resources = decode(self.VIRTUAL_SERVICE % (hosts, gateways), "vs.yaml").resources
        return lines_to_try(Snapshot.of(resources), 8080)

    def test_a_line_for_each_host_and_path(self) -> None:
        assert self.try_lines("gs.xebia.com, '*'", "gateway") == [
            "curl -H Host:gs.xebia.com localhost:8080/one",
            "curl -H Host:gs.xebia.com localhost:8080/two",
            "curl -H Host:gs.xebia.com localhost:8080/",
            "curl localhost:8080/one",
            "curl localhost:8080/two",
            "curl localhost:8080/",
        ]

    def test_what_is_for_the_mesh_alone_is_nothing_to_try_from_outside(self) -> None:
        assert self.try_lines("web", "mesh") == []
        assert self.try_lines("web", "") == []

    def test_mapped_ports_are_shown_and_the_proxys_own_are_not(self) -> None:
        plain = pod_table([pod("web-1", "web")])
        assert "PORTS" not in plain
        assert "2/2" in plain
        mapped = pod_table([pod("web-1", "web", port_map={"80": 20080, "15000": 20001})])
        assert "80->20080" in mapped
        assert "15000" not in mapped

    def test_access_log_lines_follow_their_workloads_name(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        log = tmp_path / "istio-proxy.log"
        log.write_text("[first]\n")
        row = pod("web-1", "web")
        row["containers"][1]["log"] = str(log)
        console = AccessLogConsole()
        console.follow([row])
        console.show()
        with log.open("a") as writer:
            writer.write("[second]\n")
        console.show()
        console.follow([])
        console.show()
        assert capsys.readouterr().out == "web | [first]\nweb | [second]\n"

    def test_a_finding_is_shown_once_and_its_end_is_told(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "web.yaml"
        file.write_text(GOOD.replace("ports", "prots"))
        found = decode(file.read_text(), str(file)).diagnostics
        console = DiagnosticsConsole()
        console.show({str(file): found})
        said = capsys.readouterr().out
        assert f"{file}:5:8: error: " in said
        assert "last good configuration stays in force" in said
        console.show({str(file): found})
        assert capsys.readouterr().out == ""
        console.show({str(file): ()})
        assert capsys.readouterr().out == f"minimesh: {file} is applied again\n"

    def test_a_pod_that_cannot_run_is_told_once_and_so_is_its_recovery(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        crashing = pod("web-1", "web", ready=False, state="CrashLoopBackOff", message="exit code 3")
        console = PodConsole()
        console.show([pod("web-1", "web", message=""), pod("web-2", "web", message="")])
        assert capsys.readouterr().out == ""
        console.show([crashing])
        console.show([pod("web-1", "web", ready=False, state="Running", message="")])
        console.show([crashing])
        said = capsys.readouterr().out
        assert said.startswith("minimesh: pod web-1: CrashLoopBackOff: exit code 3; its log: ")
        assert said.endswith("minimesh logs -n default web-1\n")
        assert said.count("\n") == 1
        console.show([pod("web-1", "web", message="")])
        assert capsys.readouterr().out == "minimesh: pod web-1 is ready\n"


def test_status_as_json_is_what_the_control_plane_says(
    held: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"proxies": [], "diagnostics": [], "config": {}, "pods": []}
    monkeypatch.setattr("minimesh.cli.status._ask", lambda run: document)
    assert json.loads(minimesh("status", "-o", "json").stdout) == document


def test_status_shows_pods_proxies_and_findings(held: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    types = {kind: {"state": "SYNCED", "detail": ""} for kind in ("CDS", "LDS", "EDS")}
    types["RDS"] = {"state": "ERROR", "detail": "bad regex"}
    document = {
        "proxies": [{"name": "web-1", "namespace": "default", "types": types}],
        "diagnostics": [
            {"severity": "error", "text": "vs.yaml:3:1: error: spec.htp: unknown field"},
            {"severity": "info", "text": "not shown"},
        ],
        "pods": [pod("web-1", "web", message="")],
    }
    monkeypatch.setattr("minimesh.cli.status._ask", lambda run: document)
    shown = minimesh("status").stdout
    assert "web-1.default   SYNCED   SYNCED   SYNCED   ERROR" in shown
    assert "web-1.default RDS: bad regex" in shown
    assert "vs.yaml:3:1: error: spec.htp" in shown
    assert "not shown" not in shown


def test_a_control_plane_that_does_not_answer(held: StateFolder) -> None:
    assert "does not answer" in refused(minimesh("status"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_no_stream_of_the_caller_is_needed() -> None:
    """Neither input nor output: a number that was closed is nobody's socket."""
    found = subprocess.run(
        ["sh", "-c", 'exec "$0" -m minimesh status <&- >&-', sys.executable],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stderr.partition(". ")[0]) == (1, "minimesh: no mesh runs")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_output_to_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(GOOD)
    command = [sys.executable, "-m", "minimesh", "validate", str(tmp_path)]
    with open("/dev/full", "w") as full:
        found = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert found.returncode == 1
    assert found.stderr.startswith("minimesh: cannot write its output: No space left on device.\n")


def test_ctrl_c_while_modules_are_imported_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("minimesh.__main__._run", interrupted)
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 130


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "Free some space there, or set MINIMESH_STATE to a folder on another disk."),
        (errno.EMFILE, "Allow more open files: ulimit -n 4096"),
        (errno.EACCES, "Set MINIMESH_STATE to a folder that can be written."),
    ],
)
def test_what_the_system_refuses_is_told_with_the_place_and_what_helps(number: int, remedy: str) -> None:
    told = os_refusal("the mesh cannot run", OSError(number, os.strerror(number), "/state/run.json"))
    assert told.message == f"the mesh cannot run: {os.strerror(number)} (/state/run.json). {remedy}"


def test_a_state_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MINIMESH_STATE", str(tmp_path / "file" / "state"))
    result = CliRunner().invoke(main, ["up"])
    assert result.exit_code == 1
    assert f"cannot use the state folder {tmp_path / 'file' / 'state'}: Not a directory" in result.output
