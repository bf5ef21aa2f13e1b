"""TLS towards hosts: the name that is sent, whom to believe, and the words for what goes wrong."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from minimesh.data_plane.xds_client.compile.error import CompileError
from tests.data_plane.certificates import Authority
from tests.data_plane.tls_lab import (
    answers,
    ask,
    chain,
    client_tls,
    cluster,
    key_pair,
    lab,
    listener,
    server_context,
    tcp_proxy,
    trust,
    upstream,
)

AUTHORITY = Authority()
STRANGERS = Authority("strangers")
HOST = AUTHORITY.issue("host.test", "host.test", "*.wild.test", "127.0.0.1")
EXPIRED = AUTHORITY.issue("host.test", "host.test", expired=True)
#: One of its names is of a character that there is not.
ODD = AUTHORITY.issue("odd", names_der=bytes.fromhex("300da00b06012aa0061c04ffffffff"))
CLIENT = AUTHORITY.issue("client", "client.test")
VERIFY_FAILED = (
    "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_"
)
UNKNOWN_ISSUER = (
    "X509_verify_cert:_certificate_verification_error_at_depth_0:_unable_to_get_local_issuer_certificate"
)
WEB = listener(chain(answers("never")))


def validated(**others: Any) -> dict[str, Any]:
    return {"validation_context": trust(AUTHORITY, **others)}


def exact(name: str) -> dict[str, Any]:
    return {"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": name}}]}


class TestAccepted:
    @pytest.mark.parametrize(
        "tls",
        [
            client_tls(),  # encrypts and believes anybody
            client_tls(validated()),
            client_tls(validated(**exact("host.test"))),
            client_tls(validated(**exact("x.wild.test"))),
            client_tls(validated(verify_certificate_hash=[HOST.sha256.upper()])),
            client_tls({"validation_context": {"verify_certificate_hash": [HOST.sha256]}}),
            client_tls(validated(), sni="host.test", auto_sni_san_validation=True),
            client_tls({"tls_params": {"tls_maximum_protocol_version": "TLSv1_3"}, **validated()}),
        ],
    )
    async def test_the_host_is_the_right_one(self, tmp_path: Path, tls: dict[str, Any]) -> None:
        async with (
            upstream(server_context(HOST, tmp_path)) as (port, _),
            lab(tmp_path, WEB, clusters=[cluster(port, transport_socket=tls)]) as proxy,
        ):
            assert "200 OK" in await ask(proxy.port(), path="/up")
            assert proxy.value("cluster.up.ssl.handshake") == 1

    @pytest.mark.parametrize(
        "wanted", [{}, {"validation_context": {"verify_certificate_hash": [ODD.sha256]}}]
    )
    async def test_a_name_in_the_certificate_that_is_no_text(
        self, tmp_path: Path, wanted: dict[str, Any]
    ) -> None:
        async with (
            upstream(server_context(ODD, tmp_path)) as (port, _),
            lab(tmp_path, WEB, clusters=[cluster(port, transport_socket=client_tls(wanted))]) as proxy,
        ):
            assert "200 OK" in await ask(proxy.port(), path="/up")

    async def test_the_configured_server_name_is_sent(self, tmp_path: Path) -> None:
        tls = client_tls(validated(), sni="outbound_.80_._.host.test")
        async with (
            upstream(server_context(HOST, tmp_path)) as (port, names),
            lab(tmp_path, WEB, clusters=[cluster(port, transport_socket=tls)]) as proxy,
        ):
            await ask(proxy.port(), path="/up")
            assert names == ["outbound_.80_._.host.test"]

    async def test_the_hosts_own_name_is_sent(self, tmp_path: Path) -> None:
        async with upstream(server_context(HOST, tmp_path)) as (port, names):
            named = cluster(port, transport_socket=client_tls(sni="not.this", auto_host_sni=True))
            endpoint = named["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
            endpoint["hostname"] = "own.test"
            async with lab(tmp_path, WEB, clusters=[named]) as proxy:
                await ask(proxy.port(), path="/up")
            assert names == ["own.test"]

    async def test_our_certificate_is_shown(self, tmp_path: Path) -> None:
        server = server_context(HOST, tmp_path)
        server.verify_mode = ssl.CERT_REQUIRED
        server.load_verify_locations(cadata=AUTHORITY.pem)
        tls = client_tls({"tls_certificates": [key_pair(CLIENT)]})
        async with (
            upstream(server) as (port, _),
            lab(tmp_path, WEB, clusters=[cluster(port, transport_socket=tls)]) as proxy,
        ):
            assert "200 OK" in await ask(proxy.port(), path="/up")

    @pytest.mark.parametrize(("keys", "reused"), [(1, 1), (0, 0)])
    async def test_a_session_is_taken_up_again(self, tmp_path: Path, keys: int, reused: int) -> None:
        async with upstream(server_context(HOST, tmp_path)) as (port, _):
            once = cluster(
                port, transport_socket=client_tls(max_session_keys=keys), max_requests_per_connection=1
            )
            async with lab(tmp_path, WEB, clusters=[once]) as proxy:
                for _ in range(2):
                    await ask(proxy.port(), path="/up")
                assert proxy.value("cluster.up.ssl.handshake") == 2
                assert proxy.value("cluster.up.ssl.session_reused") == reused

    async def test_a_tcp_proxy_begins_tls(self, tmp_path: Path) -> None:
        relay = listener(chain(tcp_proxy("up")))
        tls = client_tls(validated(), sni="host.test")
        async with (
            upstream(server_context(HOST, tmp_path)) as (port, names),
            lab(tmp_path, relay, clusters=[cluster(port, transport_socket=tls)]) as proxy,
        ):
            assert "GET /raw" in await ask(proxy.port(), path="/raw")
            assert names == ["host.test"]


class TestByRequest:
    OPTIONS = {  # noqa: RUF012
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http_protocol_options": {}},
            "upstream_http_protocol_options": {"auto_sni": True, "auto_san_validation": True},
        }
    }

    async def test_the_requests_host_is_sent_and_has_to_be_in_the_certificate(self, tmp_path: Path) -> None:
        async with upstream(server_context(HOST, tmp_path)) as (port, names):
            auto = cluster(
                port,
                transport_socket=client_tls(validated()),
                typed_extension_protocol_options=self.OPTIONS,
            )
            async with lab(tmp_path, WEB, clusters=[auto]) as proxy:
                for host, status in (("host.test", "200"), ("a.wild.test:80", "200"), ("other.test", "503")):
                    assert f"HTTP/1.1 {status}" in await ask(proxy.port(), path="/up", host=host)
            assert names == ["host.test", "a.wild.test", "other.test"]


class TestRefused:
    @pytest.mark.parametrize(
        ("tls", "words", "counter"),
        [
            (
                client_tls({"validation_context": trust(STRANGERS)}),
                f"{VERIFY_FAILED}{UNKNOWN_ISSUER}:TLS_error_end",
                "fail_verify_error",
            ),
            (
                client_tls(validated(**exact("no.test"))),
                f"{VERIFY_FAILED}SAN_matcher,_certificate_SANs_are_"
                "[host.test,_*.wild.test,_127.0.0.1]:TLS_error_end",
                "fail_verify_san",
            ),
            (
                client_tls(validated(verify_certificate_hash=["ab" * 32])),
                f"{VERIFY_FAILED}cert_hash_and_spki:TLS_error_end",
                "fail_verify_cert_hash",
            ),
        ],
    )
    async def test_the_host_is_another(
        self, tmp_path: Path, tls: dict[str, Any], words: str, counter: str
    ) -> None:
        async with (
            upstream(server_context(HOST, tmp_path)) as (port, _),
            lab(tmp_path, WEB, clusters=[cluster(port, transport_socket=tls)]) as proxy,
        ):
            response = await ask(proxy.port(), path="/up")
            assert response.startswith("HTTP/1.1 503")
            assert response.endswith("reset reason: remote connection failure")
            line = await proxy.log_line()
            details = f"upstream_reset_before_response_started{{remote_connection_failure|{words}}}"
            assert line.startswith(f"503 UF {details} ")
            assert line.endswith(f"up={words}")
            assert proxy.value(f"cluster.up.ssl.{counter}") == 1
            assert proxy.value("cluster.up.upstream_cx_connect_fail") == 1

    async def test_an_expired_certificate(self, tmp_path: Path) -> None:
        tls = client_tls(validated())
        async with (
            upstream(server_context(EXPIRED, tmp_path)) as (port, _),
            lab(tmp_path, WEB, clusters=[cluster(port, transport_socket=tls)]) as proxy,
        ):
            await ask(proxy.port(), path="/up")
            assert "depth_0:_certificate_has_expired:TLS_error_end" in await proxy.log_line()

    async def test_a_host_that_speaks_plain_text(self, tmp_path: Path) -> None:
        async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(speak, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with lab(tmp_path, WEB, clusters=[cluster(port, transport_socket=client_tls())]) as proxy:
            await ask(proxy.port(), path="/up")
            words = "TLS_error:|268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end"
            assert (await proxy.log_line()).endswith(f"up={words}")
            assert proxy.value("cluster.up.ssl.connection_error") == 1
        server.close()

    async def test_a_host_that_misses_our_certificate(self, tmp_path: Path) -> None:
        server = server_context(HOST, tmp_path)
        server.verify_mode = ssl.CERT_REQUIRED
        server.load_verify_locations(cadata=AUTHORITY.pem)
        async with (
            upstream(server) as (port, _),
            lab(tmp_path, WEB, clusters=[cluster(port, transport_socket=client_tls())]) as proxy,
        ):
            assert "503" in await ask(proxy.port(), path="/up")

    async def test_the_connect_timeout_covers_the_handshake(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            slow = cluster(port, transport_socket=client_tls(), connect_timeout="0.1s")
            async with lab(tmp_path, WEB, clusters=[slow]) as proxy:
                assert (await ask(proxy.port(), path="/up")).endswith("reset reason: connection timeout")
                assert proxy.value("cluster.up.upstream_cx_connect_timeout") == 1

    async def test_names_without_an_authority_are_refused_by_name(self, tmp_path: Path) -> None:
        tls = client_tls({"validation_context": exact("host.test")})
        with pytest.raises(CompileError, match="without trusted CA is insecure"):
            async with lab(tmp_path, WEB, clusters=[cluster(1, transport_socket=tls)]):
                pass


class TestUpdates:
    async def test_connections_made_before_a_cluster_wanted_tls_are_used_no_more(
        self, tmp_path: Path
    ) -> None:
        async with (
            upstream() as (plain, _),
            upstream(server_context(HOST, tmp_path)) as (secured, _),
            lab(tmp_path, WEB, clusters=[cluster(plain)]) as proxy,
            lab(tmp_path, WEB, clusters=[cluster(secured, transport_socket=client_tls())]) as other,
        ):
            assert "200 OK" in await ask(proxy.port(), path="/up")
            live = proxy.configuration.clusters["up"].cluster
            [host] = live.hosts
            assert host.pool is not None

            live.update_settings(other.configuration.clusters["up"].compiled.settings)
            assert host.pool is None


class TestByEndpoint:
    @pytest.mark.parametrize(("mode", "tls_expected"), [("istio", True), ("disabled", False)])
    async def test_the_endpoints_metadata_chooses_the_socket(
        self, tmp_path: Path, mode: str, tls_expected: bool
    ) -> None:
        raw = {
            "name": "raw",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
            },
        }
        matches = [
            {"name": "tls", "match": {"tlsMode": "istio"}, "transport_socket": client_tls()},
            {"name": "plain", "match": {}, "transport_socket": raw},
        ]
        server = server_context(HOST, tmp_path) if tls_expected else None
        async with upstream(server) as (port, _):
            mixed = cluster(port, transport_socket_matches=matches)
            endpoint = mixed["load_assignment"]["endpoints"][0]["lb_endpoints"][0]
            endpoint["metadata"] = {"filter_metadata": {"envoy.transport_socket_match": {"tlsMode": mode}}}
            async with lab(tmp_path, WEB, clusters=[mixed]) as proxy:
                assert "200 OK" in await ask(proxy.port(), path="/up")
                assert proxy.value("cluster.up.ssl.handshake") == int(tls_expected)
