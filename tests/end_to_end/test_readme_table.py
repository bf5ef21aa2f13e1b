"""Every row of the README's table, tried with the real curl on a mesh that `minimesh up` started."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime

import pytest

from tests.end_to_end.mesh import Mesh, wait_until

pytestmark = pytest.mark.slow

GS = ("-H", "Host:gs.xebia.com", "localhost:8080/")
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def test_gs_answers_v2_and_never_v1(both_labs: Mesh) -> None:
    answers = [both_labs.curl(*GS).stdout for _ in range(20)]
    assert all("V2" in answer and "V1" not in answer for answer in answers)


def test_the_host_header_may_follow_the_flag_without_a_space(both_labs: Mesh) -> None:
    assert "V2" in both_labs.curl("-HHost:gs.xebia.com", "localhost:8080/").stdout


def test_one_is_httpbins_ip_served_by_httpbin(both_labs: Mesh) -> None:
    assert list(json.loads(both_labs.curl("localhost:8080/one").stdout)) == ["origin"]
    both_labs.console_line(
        r'"GET /one HTTP/1\.1" 200 .*outbound\|8000\|\|httpbin\.default\.svc\.cluster\.local'
    )


def test_two_is_httpbins_user_agent_served_by_httpbin_2(both_labs: Mesh) -> None:
    answer = json.loads(both_labs.curl("localhost:8080/two").stdout)
    assert answer["user-agent"].startswith("curl/")
    both_labs.console_line(
        r'"GET /two HTTP/1\.1" 200 .*outbound\|8000\|\|httpbin-2\.default\.svc\.cluster\.local'
    )


def test_an_unrouted_path_is_404_with_an_empty_body_and_nr_in_the_log(both_labs: Mesh) -> None:
    head, _, body = both_labs.curl("-i", "localhost:8080/").stdout.partition("\n\n")
    assert head.splitlines()[0] == "HTTP/1.1 404 Not Found"
    assert "server: istio-envoy" in head.splitlines()
    assert body == ""
    both_labs.console_line(r'"GET / HTTP/1\.1" 404 NR route_not_found - "-" 0 0 ')


def test_a_routed_answer_has_the_headers_of_a_real_gateway(both_labs: Mesh) -> None:
    head = both_labs.curl("-i", "localhost:8080/one").stdout.partition("\n\n")[0].splitlines()
    names = [line.partition(":")[0] for line in head[1:]]
    assert head[0] == "HTTP/1.1 200 OK"
    assert "server: istio-envoy" in head
    assert any(re.fullmatch(r"x-envoy-upstream-service-time: \d+", line) for line in head)
    assert "access-control-allow-origin: *" in head
    assert "access-control-allow-credentials: true" in head
    assert names.count("date") == names.count("content-length") == 1


def test_gateway_and_sidecar_lines_share_the_request_id(both_labs: Mesh) -> None:
    both_labs.curl("localhost:8080/one?trace=this")
    gateway_line = both_labs.console_line(r'"GET /one\?trace=this HTTP/1\.1" 200 ')
    request_id = re.search(UUID, gateway_line)
    assert request_id is not None

    def sidecar_line() -> str | None:
        logs = both_labs.command("logs", "deploy/httpbin", "-c", "istio-proxy").stdout
        return next((line for line in logs.splitlines() if request_id.group() in line), None)

    line = wait_until(sidecar_line, "the sidecar's line of the same request")
    assert "inbound|80||" in line
    # The line shows x-envoy-original-path where there is one: what the client asked for, not the rewrite.
    assert '"GET /one?trace=this HTTP/1.1" 200 - via_upstream' in line


def test_the_sidecar_sees_the_gateway_pods_own_address(both_labs: Mesh) -> None:
    both_labs.curl("localhost:8080/one?peer")
    line = both_labs.console_line(r"^istio-ingressgateway .*/one\?peer ")
    gateway = next(pod for pod in both_labs.status()["pods"] if pod["workload"] == "istio-ingressgateway")
    assert f" {gateway['ip']}:" in line[line.index("outbound|") :]


def test_the_default_line_has_istios_22_fields(both_labs: Mesh) -> None:
    both_labs.curl("localhost:8080/two?fields")
    line = both_labs.console_line(r'"GET /two\?fields HTTP/1\.1"')
    fields = re.findall(r'\[[^\]]*\]|"[^"]*"|\S+', line[line.index("[") :])
    assert len(fields) == 22


def test_status_shows_every_proxy_in_sync(both_labs: Mesh) -> None:
    proxies = both_labs.status()["proxies"]
    names = {proxy["name"].rsplit("-", 2)[0] for proxy in proxies}
    assert {"istio-ingressgateway", "gsservice-v1", "gsservice-v2", "httpbin", "httpbin-2", "sleep"} <= names
    for proxy in proxies:
        assert {state["state"] for state in proxy["types"].values()} <= {"SYNCED", "NOT SENT"}, proxy


def test_a_call_inside_the_mesh_is_routed_by_name(both_labs: Mesh) -> None:
    result = both_labs.command("exec", "deploy/sleep", "--", "curl", "-sS", "httpbin:8000/user-agent")
    assert json.loads(result.stdout)["user-agent"].startswith("curl/")
    wait_until(
        lambda: (
            "outbound|8000||httpbin.default.svc.cluster.local"
            in both_labs.command("logs", "deploy/sleep", "-c", "istio-proxy").stdout
        ),
        "the sleep pod's own sidecar logs the call",
    )


def test_logs_of_the_gateway_are_those_of_its_deployment(both_labs: Mesh) -> None:
    both_labs.curl("localhost:8080/one?gateway-log")
    wait_until(
        lambda: (
            "/one?gateway-log"
            in both_labs.command("logs", "deploy/istio-ingressgateway", "-n", "istio-system").stdout
        ),
        "the gateway's log",
    )


def test_a_saved_weight_reaches_every_proxy_in_100_ms_and_no_request_fails(
    start_mesh: Callable[..., Mesh],
) -> None:
    mesh = start_mesh("gs")
    virtual_service = mesh.file_declaring("VirtualService")
    text = virtual_service.read_text()
    changed = re.sub(r"(subset: v1\n\s+weight: )0\b", r"\g<1>50", text)
    assert changed != text
    before = {proxy["id"]: _acked_at(proxy) for proxy in mesh.status()["proxies"]}

    with _Load(mesh) as load:
        wait_until(lambda: load.answers["V2"] > 20, "traffic before the change")
        virtual_service.write_text(changed)
        saved_at = virtual_service.stat().st_mtime
        wait_until(lambda: load.answers["V1"] > 0, "traffic after the change")
        wait_until(lambda: sum(load.answers.values()) > 400, "traffic to count")

    proxies = mesh.status()["proxies"]
    changed_ones = [proxy for proxy in proxies if _acked_at(proxy) > before[proxy["id"]]]
    assert any("ingressgateway" in proxy["name"] for proxy in changed_ones)
    assert max(_acked_at(proxy) for proxy in changed_ones) - saved_at < 0.1
    assert load.failures == []


def test_a_split_of_50_to_100_holds_statistically(start_mesh: Callable[..., Mesh]) -> None:
    mesh = start_mesh("gs")
    virtual_service = mesh.file_declaring("VirtualService")
    virtual_service.write_text(
        re.sub(r"(subset: v1\n\s+weight: )0\b", r"\g<1>50", virtual_service.read_text())
    )
    wait_until(lambda: "V1" in mesh.curl(*GS).stdout, "the first V1")
    with _Load(mesh) as load:
        wait_until(lambda: sum(load.answers.values()) >= 600, "600 answers")
    count = sum(load.answers.values())
    share = load.answers["V1"] / count
    deviation = (1 / 3 * 2 / 3 / count) ** 0.5
    assert abs(share - 1 / 3) < 5 * deviation


def test_without_its_gateway_the_port_refuses_and_without_its_virtual_service_it_answers_404(
    start_mesh: Callable[..., Mesh],
) -> None:
    mesh = start_mesh("gs")
    gateway, virtual_service = mesh.file_declaring("Gateway"), mesh.file_declaring("VirtualService")
    assert gateway != virtual_service
    gateway_text = gateway.read_text()
    gateway.unlink()
    wait_until(mesh.refuses, "connection refused without a Gateway")
    virtual_service.unlink()
    gateway.write_text(gateway_text)
    wait_until(lambda: mesh.answers(*GS, status=404), "404 without a VirtualService")


def test_broken_yaml_is_shown_with_its_place_and_the_last_good_configuration_stays(
    start_mesh: Callable[..., Mesh],
) -> None:
    mesh = start_mesh("gs")
    virtual_service = mesh.file_declaring("VirtualService")
    lines = virtual_service.read_text().splitlines(keepends=True)
    number = next(index for index, line in enumerate(lines, 1) if "subset: v1" in line)
    lines[number - 1] = lines[number - 1].replace("subset:", "subst:")
    column = lines[number - 1].index("subst:") + 1
    virtual_service.write_text("".join(lines))

    line = mesh.console_line(re.escape(f"{virtual_service.name}:{number}:{column}") + r".*subst")
    assert "subset" in line
    shown = mesh.command("status").stdout
    assert f"{virtual_service.name}:{number}:{column}" in shown
    assert "V2" in mesh.curl(*GS).stdout
    for proxy in mesh.status()["proxies"]:
        assert {state["state"] for state in proxy["types"].values()} <= {"SYNCED", "NOT SENT"}


def _acked_at(proxy: dict[str, object]) -> float:
    types = proxy["types"]
    assert isinstance(types, dict)
    return max(
        datetime.fromisoformat(state["acked_at"]).timestamp()
        for state in types.values()
        if state.get("acked_at")
    )


class _Load:
    """Requests one after another from two threads, counted by the version that answered."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []

    def __enter__(self) -> _Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            # Twenty requests a process keeps the client cheaper than what it measures.
            result = self._mesh.curl(
                "-w", "|%{http_code}\n", "-H", "Host:gs.xebia.com", *["localhost:8080/"] * 20
            )
            for answer in filter(None, result.stdout.replace("\n|", "|").splitlines()):
                body, _, code = answer.rpartition("|")
                if code == "200":
                    self.answers["V1" if "V1" in body else "V2"] += 1
                else:
                    self.failures.append(answer)
            if result.returncode:
                self.failures.append(result.stderr)
