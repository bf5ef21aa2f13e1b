"""Secrets by name: from the bootstrap, from files, from ADS; replaced while connections go on."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from minimesh.data_plane.xds_client.compile.error import CompileError
from minimesh.data_plane.xds_client.config_update import RejectedUpdateError
from minimesh.xds import messages as m
from minimesh.xds.ads_protocol import Reaction
from tests.data_plane.certificates import Authority, Issued
from tests.data_plane.sockets import free_port
from tests.data_plane.tls_lab import (
    Lab,
    answers,
    ask,
    chain,
    client_context,
    client_tls,
    cluster,
    key_pair,
    lab,
    listener,
    server_context,
    server_tls,
    trust,
    upstream,
)
from tests.data_plane.xds_client.control_plane import control_plane
from tests.data_plane.xds_client.test_ads_client import following

AUTHORITY = Authority()
FIRST = AUTHORITY.issue("first", "a.test")
SECOND = AUTHORITY.issue("second", "a.test")
CLIENT = AUTHORITY.issue("client", "client.test")
_SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


def secret(name: str, issued: Issued) -> dict[str, Any]:
    return {"name": name, "tls_certificate": key_pair(issued)}


def message(data: dict[str, Any]) -> Any:
    return m.json_format.ParseDict(data, m.tls_secret_pb2.Secret())


def named(source: dict[str, Any] | None = None, **validation: Any) -> dict[str, Any]:
    """A listener that takes its certificate by name."""
    config = {"name": "cert", **({"sds_config": source} if source else {})}
    common = {"tls_certificate_sds_secret_configs": [config], **validation}
    return listener(chain(answers("a"), tls=server_tls(common=common)))


ADS = {"ads": {}, "resource_api_version": "V3"}


async def subject(proxy: Lab) -> str:
    """Common name of the certificate that a new connection gets."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", proxy.port(), ssl=client_context(AUTHORITY), server_hostname="a.test"
    )
    writer.close()
    return str(dict(part[0] for part in writer.get_extra_info("peercert")["subject"])["commonName"])


class TestBootstrap:
    async def test_a_static_secret(self, tmp_path: Path) -> None:
        async with lab(tmp_path, named(), secrets=[secret("cert", FIRST)]) as proxy:
            assert await subject(proxy) == "first"

    async def test_a_name_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(CompileError, match="unknown static secret: 'cert'"):
            async with lab(tmp_path, named(), secrets=[secret("other", FIRST)]):
                pass

    async def test_what_is_asked_of_clients_by_name(self, tmp_path: Path) -> None:
        authorities = {"name": "ca", "validation_context": trust(AUTHORITY)}
        asking = named(
            combined_validation_context={
                "default_validation_context": {
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"prefix": "client."}}]
                },
                "validation_context_sds_secret_config": {"name": "ca"},
            }
        )
        async with lab(tmp_path, asking, secrets=[secret("cert", FIRST), authorities]) as proxy:
            assert "200 OK" in await ask(proxy.port(), client_context(AUTHORITY, CLIENT, tmp_path), "a.test")
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await ask(proxy.port(), client_context(AUTHORITY, SECOND, tmp_path), "a.test")


class TestFile:
    def write(self, file: Path, issued: Issued) -> None:
        resources = [{"@type": _SECRET_TYPE, **secret("cert", issued)}]
        new = file.with_suffix(".new")
        new.write_text(json.dumps({"resources": resources}))
        new.rename(file)

    async def test_a_file_that_changes(self, tmp_path: Path) -> None:
        file = tmp_path / "secret.json"
        self.write(file, FIRST)
        async with lab(tmp_path, named({"path_config_source": {"path": str(file)}})) as proxy:
            assert await subject(proxy) == "first"

            self.write(file, SECOND)
            async with asyncio.timeout(5):
                while await subject(proxy) == "first":  # noqa: ASYNC110 - each look is a new connection
                    await asyncio.sleep(0.02)
            assert await subject(proxy) == "second"

    async def test_a_file_that_breaks_changes_nothing(self, tmp_path: Path) -> None:
        file = tmp_path / "secret.json"
        self.write(file, FIRST)
        async with lab(tmp_path, named({"path_config_source": {"path": str(file)}})) as proxy:
            reports: asyncio.Queue[str] = asyncio.Queue()
            proxy.configuration.context.secrets.report = reports.put_nowait
            file.write_text("{broken")
            async with asyncio.timeout(5):
                assert "SDS update rejected" in await reports.get()
            assert await subject(proxy) == "first"


class TestStream:
    async def test_secrets_come_by_the_stream_of_everything_else(self) -> None:
        port = free_port()
        async with control_plane() as plane:
            wanting = named(ADS)
            wanting["address"]["socket_address"]["port_value"] = port
            wanting["filter_chains"][0]["filters"][0]["typed_config"]["access_log"] = []
            plane.resources = {
                "LDS": [m.json_format.ParseDict(wanting, m.listener_pb2.Listener())],
                "SDS": [message(secret("cert", FIRST)), message(secret("not asked for", SECOND))],
            }
            async with following(plane.port):
                assert (await plane.reaction("SDS")).reaction is Reaction.ACKED
                assert "200 OK" in await ask(port, client_context(AUTHORITY), "a.test")

                bad = message(secret("cert", SECOND))
                bad.tls_certificate.private_key.inline_string = FIRST.key_pem
                await plane.push("SDS", [bad])
                rejected = await plane.reaction("SDS")
                assert rejected.reaction is Reaction.NACKED
                assert "key values mismatch" in rejected.error
                assert "200 OK" in await ask(port, client_context(AUTHORITY), "a.test")


class TestAds:
    async def test_a_listener_waits_for_its_secret(self, tmp_path: Path) -> None:
        async with lab(tmp_path, named(ADS)) as proxy:
            configuration = proxy.configuration
            assert configuration.listeners["web"].listener is None
            assert configuration.secret_names == ["cert"]

            configuration.update_secrets([message(secret("cert", FIRST))], "1")
            assert await subject(proxy) == "first"

    async def test_a_listener_opens_late_without_it(self, tmp_path: Path) -> None:
        async with lab(tmp_path, named(ADS)) as proxy:
            await proxy.configuration.warmed()
            with pytest.raises(ConnectionError):
                await ask(proxy.port(), client_context(AUTHORITY), "a.test")
            assert "down=TLS_error:_Secret_is_not_supplied_by_SDS" in await proxy.log_line()

    async def test_replaced_while_a_connection_goes_on(self, tmp_path: Path) -> None:
        async with lab(tmp_path, named(ADS)) as proxy:
            proxy.configuration.update_secrets([message(secret("cert", FIRST))], "1")
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", proxy.port(), ssl=client_context(AUTHORITY), server_hostname="a.test"
            )

            proxy.configuration.update_secrets([message(secret("cert", SECOND))], "2")
            assert await subject(proxy) == "second"
            writer.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\na")
            assert head.startswith(b"HTTP/1.1 200")
            assert b"connection: close" not in head
            writer.close()

    async def test_a_bad_secret_is_refused_and_the_last_one_stays(self, tmp_path: Path) -> None:
        async with lab(tmp_path, named(ADS)) as proxy:
            proxy.configuration.update_secrets([message(secret("cert", FIRST))], "1")
            bad = secret("cert", SECOND)
            bad["tls_certificate"]["private_key"]["inline_string"] = FIRST.key_pem

            with pytest.raises(RejectedUpdateError, match=r"cert.*key values mismatch"):
                proxy.configuration.update_secrets([message(bad)], "2")
            assert await subject(proxy) == "first"

    async def test_a_secret_of_the_wrong_kind_is_refused(self, tmp_path: Path) -> None:
        async with lab(tmp_path, named(ADS)) as proxy:
            authorities = {"name": "cert", "validation_context": trust(AUTHORITY)}
            with pytest.raises(RejectedUpdateError, match="no tls_certificate"):
                proxy.configuration.update_secrets([message(authorities)], "1")

    async def test_a_cluster_waits_for_its_secret(self, tmp_path: Path) -> None:
        tls = client_tls({"tls_certificate_sds_secret_configs": [{"name": "mine", "sds_config": ADS}]})
        async with (
            upstream(server_context(FIRST, tmp_path)) as (port, _),
            lab(
                tmp_path, listener(chain(answers("a"))), clusters=[cluster(port, transport_socket=tls)]
            ) as proxy,
        ):
            assert "503" in await ask(proxy.port(), path="/up")
            proxy.configuration.update_secrets([message(secret("mine", CLIENT))], "1")
            assert "200 OK" in await ask(proxy.port(), path="/up")
