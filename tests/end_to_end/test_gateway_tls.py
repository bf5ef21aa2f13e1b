"""A Gateway's TLS servers, from YAML to a handshake: what the control plane makes, the data plane serves."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from minimesh.control_plane.translation import Resources, build_resources
from minimesh.data_plane.network.address_map import AddressMap
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.xds_client.config_update import LiveConfiguration
from tests.control_plane.meshes import INGRESS_GATEWAY, gateway_proxy, push
from tests.data_plane.certificates import Authority, Issued
from tests.data_plane.sockets import free_port
from tests.data_plane.tls_lab import ask, client_context, server_context, upstream

AUTHORITY = Authority()
GS = AUTHORITY.issue("gs", "gs.test")
OTHER = AUTHORITY.issue("other", "other.test")
INNER = AUTHORITY.issue("inner", "inner.test")
CLIENT = AUTHORITY.issue("client", "client.test")


def secret(name: str, issued: Issued, **more: str) -> str:
    data = {"tls.crt": issued.certificate_pem, "tls.key": issued.key_pem, **more}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    metadata = {"name": name, "namespace": "istio-system"}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded})


def gateway(*servers: dict[str, Any]) -> str:
    return json.dumps(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "gate", "namespace": "istio-system"},
            "spec": {"selector": {"istio": "ingressgateway"}, "servers": list(servers)},
        }
    )


def server(host: str, tls: dict[str, Any], protocol: str = "HTTPS", name: str = "https") -> dict[str, Any]:
    return {"port": {"number": 443, "name": name, "protocol": protocol}, "hosts": [host], "tls": tls}


def rule(host: str, **routes: Any) -> str:
    return json.dumps(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": host.replace(".", "-"), "namespace": "istio-system"},
            "spec": {"hosts": [host], "gateways": ["gate"], **routes},
        }
    )


def says(text: str) -> list[dict[str, Any]]:
    return [{"directResponse": {"status": 200, "body": {"string": text}}}]


def simple(name: str) -> dict[str, Any]:
    return {"mode": "SIMPLE", "credentialName": name}


class Gate:
    """A gateway's data plane, given its resources by hand, in the order of ADS."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.stats = StatsStore()
        self.configuration = LiveConfiguration(
            self.stats,
            address_map=AddressMap(pod_ip="127.0.0.1", port_map={8443: port}),
            warming_timeout_s=0.2,
        )

    def give(self, *manifests: str) -> Resources:
        found = build_resources(gateway_proxy(), push(INGRESS_GATEWAY, *manifests))
        configuration = self.configuration
        configuration.update_clusters([*found.clusters.values()], "1")
        configuration.update_endpoints([*found.endpoints.values()], "1")
        configuration.update_listeners([*found.listeners.values()], "1")
        configuration.update_routes([*found.routes.values()], "1")
        wanted = configuration.secret_names
        configuration.update_secrets([found.secrets[name] for name in wanted if name in found.secrets], "1")
        return found


@asynccontextmanager
async def gate() -> AsyncIterator[Gate]:
    made = Gate(free_port())
    try:
        yield made
    finally:
        made.configuration.close()
        await asyncio.sleep(0)  # closed transports are told so in the next turn


async def test_each_host_has_its_certificate_and_its_routes() -> None:
    async with gate() as proxy:
        proxy.give(
            gateway(
                server("gs.test", simple("gs"), name="gs"),
                server("other.test", simple("other"), name="other"),
            ),
            secret("gs", GS),
            secret("other", OTHER),
            rule("gs.test", http=says("gs")),
            rule("other.test", http=says("other")),
        )
        context = client_context(AUTHORITY)
        assert (await ask(proxy.port, context, "gs.test", host="gs.test")).endswith("\r\n\r\ngs")
        assert (await ask(proxy.port, context, "other.test", host="other.test")).endswith("\r\n\r\nother")
        with pytest.raises(ConnectionResetError):
            await ask(proxy.port, context, "unknown.test")


async def test_a_credential_that_changes_is_served_at_once() -> None:
    manifests = gateway(server("gs.test", simple("gs"))), rule("gs.test", http=says("gs"))
    stranger = Authority("stranger")
    async with gate() as proxy:
        proxy.give(*manifests, secret("gs", stranger.issue("gs", "gs.test")))
        with pytest.raises(ssl.SSLCertVerificationError):
            await ask(proxy.port, client_context(AUTHORITY), "gs.test", host="gs.test")
        proxy.give(*manifests, secret("gs", GS))
        assert "200 OK" in await ask(proxy.port, client_context(AUTHORITY), "gs.test", host="gs.test")


async def test_mutual_tls_takes_the_authority_from_the_same_credential(tmp_path: Path) -> None:
    async with gate() as proxy:
        proxy.give(
            gateway(server("gs.test", {"mode": "MUTUAL", "credentialName": "gs"})),
            secret("gs", GS, **{"ca.crt": AUTHORITY.pem}),
            rule("gs.test", http=says("gs")),
        )
        known = client_context(AUTHORITY, CLIENT, tmp_path)
        assert "200 OK" in await ask(proxy.port, known, "gs.test", host="gs.test")
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await ask(proxy.port, client_context(AUTHORITY), "gs.test", host="gs.test")


async def test_certificates_may_lie_in_files(tmp_path: Path) -> None:
    certificate, key = GS.write(tmp_path, "gs")
    files = {"mode": "SIMPLE", "serverCertificate": str(certificate), "privateKey": str(key)}
    async with gate() as proxy:
        proxy.give(gateway(server("gs.test", files)), rule("gs.test", http=says("gs")))
        assert "200 OK" in await ask(proxy.port, client_context(AUTHORITY), "gs.test", host="gs.test")


async def test_a_name_passed_through_meets_the_services_own_certificate(tmp_path: Path) -> None:
    async with upstream(server_context(INNER, tmp_path)) as (port, names), gate() as proxy:
        outside = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": "inner", "namespace": "istio-system"},
            "spec": {
                "hosts": ["inner.test"],
                "resolution": "STATIC",
                "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}],
                "endpoints": [{"address": "127.0.0.1", "ports": {"tls": port}}],
            },
        }
        destination = [{"destination": {"host": "inner.test", "port": {"number": 443}}}]
        passing = [{"match": [{"sniHosts": ["inner.test"]}], "route": destination}]
        proxy.give(
            gateway(server("inner.test", {"mode": "PASSTHROUGH"}, protocol="TLS", name="tls")),
            json.dumps(outside),
            rule("inner.test", tls=passing),
        )
        assert "GET /through" in await ask(
            proxy.port, client_context(AUTHORITY), "inner.test", path="/through"
        )
        assert names == ["inner.test"]


async def test_a_missing_credential_is_waited_for_no_longer_than_a_while() -> None:
    async with gate() as proxy:
        proxy.give(gateway(server("gs.test", simple("gs"))), rule("gs.test", http=says("gs")))
        assert proxy.configuration.is_warming
        await proxy.configuration.warmed()
        with pytest.raises(ConnectionResetError):
            await ask(proxy.port, client_context(AUTHORITY), "gs.test")
