"""TLS towards clients: which certificate, which chain, who may come in, and what is told of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from minimesh.data_plane.xds_client.compile.error import CompileError
from tests.data_plane.certificates import Authority
from tests.data_plane.tls_lab import (
    HTTP_INSPECTOR,
    INSPECTOR,
    answers,
    ask,
    chain,
    client_context,
    cluster,
    lab,
    listener,
    server_context,
    server_tls,
    tcp_proxy,
    trust,
    upstream,
)

AUTHORITY = Authority()
STRANGERS = Authority("strangers")
A = AUTHORITY.issue("a.test", "a.test", "*.wild.test", organization="org")
B = AUTHORITY.issue("b.test", "b.test")
A_RSA = AUTHORITY.issue("a.test", "a.test", use_rsa=True)
CLIENT = AUTHORITY.issue("client one", "client.test", "spiffe://td/ns/x/sa/y", organization="or,g")
CLIENT_HASH = f"Hash={CLIENT.sha256}"
HTTPS = client_context(AUTHORITY)


def refused() -> ssl.SSLContext:
    """A client that takes any certificate: for servers that are not expected to answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class TestTermination:
    async def test_a_request_over_tls_is_https_to_everybody(self, tmp_path: Path) -> None:
        async with (
            upstream() as (port, _),
            lab(
                tmp_path, listener(chain(answers("a"), tls=server_tls(A))), clusters=[cluster(port)]
            ) as proxy,
        ):
            assert "x-forwarded-proto: https\r\n" in await ask(proxy.port(), HTTPS, "a.test", path="/up")
            assert "version=TLSv1.3" in await proxy.log_line()

    async def test_many_requests_on_one_connection(self, tmp_path: Path) -> None:
        async with lab(tmp_path, listener(chain(answers("body"), tls=server_tls(A)))) as proxy:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", proxy.port(), ssl=HTTPS, server_hostname="a.test"
            )
            for _ in range(3):
                writer.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
                assert (await reader.readuntil(b"\r\n\r\nbody")).startswith(b"HTTP/1.1 200")
            writer.close()

            assert proxy.value("listener.web.ssl.handshake") == 1
            assert proxy.value("listener.web.ssl.no_certificate") == 1
            assert proxy.value("listener.web.ssl.versions.TLSv1.3") == 1

    async def test_plain_text_is_told_apart_and_closed(self, tmp_path: Path) -> None:
        async with lab(tmp_path, listener(chain(answers("a"), tls=server_tls(A)))) as proxy:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await ask(proxy.port())

            assert (
                "down=TLS_error:|268435612:SSL_routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end"
                in await proxy.log_line()
            )
            assert proxy.value("listener.web.ssl.connection_error") == 1

    async def test_a_session_is_taken_up_again(self, tmp_path: Path) -> None:
        async with lab(tmp_path, listener(chain(answers("a"), tls=server_tls(A)))) as proxy:
            context = client_context(AUTHORITY)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            session = await asyncio.to_thread(_handshake, proxy.port(), context, None)
            await asyncio.to_thread(_handshake, proxy.port(), context, session)

            await proxy.count("listener.web.ssl.session_reused")

    async def test_versions_are_limited(self, tmp_path: Path) -> None:
        parameters = {"tls_params": {"tls_minimum_protocol_version": "TLSv1_3"}}
        tls = server_tls(A, common=parameters)
        async with lab(tmp_path, listener(chain(answers("a"), tls=tls))) as proxy:
            context = client_context(AUTHORITY)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):  # the alert tells why
                await ask(proxy.port(), context, "a.test")

            assert "268435696:SSL_routines:OPENSSL_internal:UNSUPPORTED_PROTOCOL" in await proxy.log_line()

    async def test_alpn_takes_what_the_server_prefers(self, tmp_path: Path) -> None:
        tls = server_tls(A, common={"alpn_protocols": ["http/1.1", "x"]})
        async with lab(tmp_path, listener(chain(answers("a"), tls=tls))) as proxy:
            context = client_context(AUTHORITY)
            context.set_alpn_protocols(["x", "http/1.1"])
            _, writer = await asyncio.open_connection(
                "127.0.0.1", proxy.port(), ssl=context, server_hostname="a.test"
            )
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            writer.close()

    @pytest.mark.parametrize("politely", [True, False])
    async def test_a_client_that_goes_ends_its_connection(self, tmp_path: Path, politely: bool) -> None:
        async with lab(tmp_path, listener(chain(answers("a"), tls=server_tls(A)))) as proxy:
            await asyncio.to_thread(_go_away, proxy.port(), politely)

            await proxy.count("listener.web.downstream_cx_destroy")
            assert proxy.stats.gauges["listener.web.downstream_cx_active"].value == 0
            assert proxy.configuration.open_connections == 0

    async def test_a_client_that_goes_in_the_middle_of_a_handshake(self, tmp_path: Path) -> None:
        async with lab(tmp_path, listener(chain(answers("a"), tls=server_tls(A, B)))) as proxy:
            for first_bytes in (b"", b"\x16\x03\x01", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"):
                _, writer = await asyncio.open_connection("127.0.0.1", proxy.port())
                writer.write(first_bytes)
                writer.close()
                await writer.wait_closed()

            assert "200 OK" in await ask(proxy.port(), HTTPS, "a.test")
            await proxy.count("listener.web.downstream_cx_total")

    async def test_a_handshake_that_takes_too_long_is_ended(self, tmp_path: Path) -> None:
        slow = {**chain(answers("a"), tls=server_tls(A)), "transport_socket_connect_timeout": "0.05s"}
        async with lab(tmp_path, listener(slow)) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port())
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            writer.close()

            await proxy.count("listener.web.downstream_cx_transport_socket_connect_timeout")


def _handshake(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSession | None:
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="a.test", session=session) as secured,
    ):
        return secured.session


def _go_away(port: int, politely: bool) -> None:
    """With a close_notify; or in the middle of a record, without a word."""
    plain = socket.create_connection(("127.0.0.1", port))
    secured = HTTPS.wrap_socket(plain, server_hostname="a.test")
    secured.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
    secured.read(65536)
    if politely:
        with suppress(OSError):
            secured.unwrap()
    else:
        socket.socket.sendall(secured, b"\x17\x03\x03\x40\x00half")
    secured.close()


class TestCertificates:
    @pytest.mark.parametrize(
        ("name", "subject"), [("a.test", "a.test"), ("x.wild.test", "a.test"), ("b.test", "b.test")]
    )
    async def test_the_one_for_the_name(self, tmp_path: Path, name: str, subject: str) -> None:
        async with lab(tmp_path, listener(chain(answers("a"), tls=server_tls(A, B)))) as proxy:
            assert await _subject(proxy.port(), HTTPS, name) == subject

    async def test_the_first_for_a_name_of_nobody(self, tmp_path: Path) -> None:
        async with lab(tmp_path, listener(chain(answers("a"), tls=server_tls(B, A)))) as proxy:
            assert "200 OK" in await ask(proxy.port(), refused(), "other.test")
            with pytest.raises(ssl.SSLCertVerificationError):
                await ask(proxy.port(), HTTPS, "other.test")

    async def test_the_type_of_key_that_the_client_can_use(self, tmp_path: Path) -> None:
        async with lab(tmp_path, listener(chain(answers("a"), tls=server_tls(A, A_RSA)))) as proxy:
            for cipher in ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"):
                context = client_context(AUTHORITY)
                context.maximum_version = ssl.TLSVersion.TLSv1_2
                context.set_ciphers(cipher)
                assert "200 OK" in await ask(proxy.port(), context, "a.test")
                assert proxy.value(f"listener.web.ssl.ciphers.{cipher}") == 1

    async def test_a_key_of_another_certificate_is_refused(self, tmp_path: Path) -> None:
        wrong = server_tls(A)
        wrong["typed_config"]["common_tls_context"]["tls_certificates"][0]["private_key"] = {
            "inline_string": B.key_pem
        }
        with pytest.raises(CompileError, match=r"tls_certificates\[0\].*key values mismatch"):
            async with lab(tmp_path, listener(chain(answers("a"), tls=wrong))):
                pass


async def _subject(port: int, context: ssl.SSLContext, name: str) -> str:
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    writer.close()
    subject = writer.get_extra_info("peercert")["subject"]
    return str(dict(part[0] for part in subject)["commonName"])


class TestFilterChains:
    def two_names(self) -> dict[str, object]:
        return listener(
            chain(answers("a"), tls=server_tls(A), server_names=["a.test"]),
            chain(answers("b"), tls=server_tls(B), server_names=["b.test"]),
            listener_filters=[INSPECTOR],
        )

    async def test_by_server_name(self, tmp_path: Path) -> None:
        async with lab(tmp_path, self.two_names()) as proxy:
            assert (await ask(proxy.port(), HTTPS, "a.test")).endswith("\r\n\r\na")
            assert (await ask(proxy.port(), HTTPS, "b.test")).endswith("\r\n\r\nb")
            assert "sni=b.test" in await proxy.log_line()

    async def test_an_unknown_name_is_reset_and_logged(self, tmp_path: Path) -> None:
        async with lab(tmp_path, self.two_names()) as proxy:
            with pytest.raises(ConnectionResetError):
                await ask(proxy.port(), refused(), "c.test")

            assert (await proxy.log_line()).startswith("0 NR filter_chain_not_found sni=c.test")
            assert proxy.value("listener.web.no_filter_chain_match") == 1

    async def test_plain_text_is_reset_and_logged(self, tmp_path: Path) -> None:
        async with lab(tmp_path, self.two_names()) as proxy:
            with pytest.raises(ConnectionResetError):
                await ask(proxy.port())

            line = await proxy.log_line()
            assert line.startswith("0 NR filter_chain_not_found")
            assert "down=TLS_error|error:1000009c:SSL_routines:OPENSSL_internal:HTTP_REQUEST" in line

    async def test_plain_text_and_tls_on_one_port(self, tmp_path: Path) -> None:
        both = listener(
            chain(answers("tls"), tls=server_tls(A), transport_protocol="tls"),
            chain(answers("plain"), transport_protocol="raw_buffer"),
            listener_filters=[INSPECTOR],
        )
        async with lab(tmp_path, both) as proxy:
            assert (await ask(proxy.port())).endswith("plain")
            assert (await ask(proxy.port(), HTTPS, "a.test")).endswith("tls")

    async def test_a_hello_that_comes_in_pieces(self, tmp_path: Path) -> None:
        async with lab(tmp_path, self.two_names()) as proxy:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = HTTPS.wrap_bio(incoming, outgoing, server_hostname="b.test")
            with pytest.raises(ssl.SSLWantReadError):
                client.do_handshake()
            hello = outgoing.read()
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port())
            for at in range(0, len(hello), 50):
                writer.write(hello[at : at + 50])
                await asyncio.sleep(0.002)  # so that they do not travel as one
            await _finish_handshake(client, incoming, outgoing, reader, writer)
            client.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
            writer.write(outgoing.read())
            answer = b""
            while not answer.endswith(b"\r\n\r\nb"):
                incoming.write(await reader.read(65536))
                with contextlib.suppress(ssl.SSLWantReadError):  # session tickets came first
                    answer += client.read(65536)
            writer.close()

    async def test_http_is_told_from_other_protocols(self, tmp_path: Path) -> None:
        async with upstream() as (port, _):
            both = listener(
                chain(answers("http"), application_protocols=["http/1.1", "http/1.0", "h2c"]),
                chain(tcp_proxy("up")),
                listener_filters=[HTTP_INSPECTOR],
            )
            async with lab(tmp_path, both, clusters=[cluster(port)]) as proxy:
                assert (await ask(proxy.port())).endswith("http")
                reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port())
                writer.write(b"\x01binary\r\n\r\n")
                assert b"\x01binary" in await reader.readuntil(b"binary\r\n\r\n")
                writer.close()

    async def test_a_silent_client_is_given_up(self, tmp_path: Path) -> None:
        async with lab(tmp_path, {**self.two_names(), "listener_filters_timeout": "0.05s"}) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port())
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            writer.close()

            assert proxy.value("listener.web.downstream_pre_cx_timeout") == 1

    async def test_a_silent_client_goes_on_where_configured(self, tmp_path: Path) -> None:
        patient = listener(
            chain(answers("tls"), tls=server_tls(A), transport_protocol="tls"),
            chain(answers("plain")),
            listener_filters=[INSPECTOR],
            listener_filters_timeout="0.05s",
            continue_on_listener_filters_timeout=True,
        )
        async with lab(tmp_path, patient) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port())
            await proxy.count("listener.web.downstream_cx_total")
            writer.write(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
            assert (await reader.readuntil(b"plain")).startswith(b"HTTP/1.1 200")
            writer.close()

    async def test_two_chains_for_the_same_are_refused(self, tmp_path: Path) -> None:
        twice = [chain(answers("a"), tls=server_tls(A), server_names=["a.test"]) for _ in range(2)]
        with pytest.raises(CompileError, match="same matching rules"):
            async with lab(tmp_path, listener(*twice, listener_filters=[INSPECTOR])):
                pass


async def _finish_handshake(
    client: ssl.SSLObject,
    incoming: ssl.MemoryBIO,
    outgoing: ssl.MemoryBIO,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    while True:
        incoming.write(await reader.read(65536))
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            continue
        writer.write(outgoing.read())
        return


class TestClientCertificates:
    def demanding(self, required: bool = True, **manager: object) -> dict[str, object]:
        tls = server_tls(
            A, common={"validation_context": trust(AUTHORITY)}, require_client_certificate=required
        )
        return listener(chain(answers("a", **manager), tls=tls))

    async def test_the_client_is_known_by_its_certificate(self, tmp_path: Path) -> None:
        async with lab(tmp_path, self.demanding()) as proxy:
            context = client_context(AUTHORITY, CLIENT, tmp_path)
            assert "200 OK" in await ask(proxy.port(), context, "a.test")
            assert r"subject=CN=client one,O=or\,g" in await proxy.log_line()

    async def test_without_one_there_is_no_handshake(self, tmp_path: Path) -> None:
        async with lab(tmp_path, self.demanding()) as proxy:
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await ask(proxy.port(), HTTPS, "a.test")
            assert "PEER_DID_NOT_RETURN_A_CERTIFICATE:peer_did_not_provide" in await proxy.log_line()
            assert proxy.value("listener.web.ssl.fail_verify_no_cert") == 1

    async def test_one_of_another_authority_is_not_taken(self, tmp_path: Path) -> None:
        stranger = STRANGERS.issue("stranger")
        async with lab(tmp_path, self.demanding(required=False)) as proxy:
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await ask(proxy.port(), client_context(AUTHORITY, stranger, tmp_path), "a.test")
            assert "unable_to_get_local_issuer_certificate" in await proxy.log_line()
            assert proxy.value("listener.web.ssl.fail_verify_error") == 1

    async def test_where_it_is_optional_none_will_do(self, tmp_path: Path) -> None:
        async with lab(tmp_path, self.demanding(required=False)) as proxy:
            assert "200 OK" in await ask(proxy.port(), HTTPS, "a.test")

    @pytest.mark.parametrize(
        ("validation", "counter"),
        [
            ({"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "no"}}]}, "san"),
            ({"verify_certificate_hash": ["ab" * 32]}, "cert_hash"),
        ],
    )
    async def test_names_and_hashes_are_checked(
        self, tmp_path: Path, validation: dict[str, object], counter: str
    ) -> None:
        tls = server_tls(A, common={"validation_context": trust(AUTHORITY, **validation)})
        async with lab(tmp_path, listener(chain(answers("a"), tls=tls))) as proxy:
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await ask(proxy.port(), client_context(AUTHORITY, CLIENT, tmp_path), "a.test")
            await proxy.count(f"listener.web.ssl.fail_verify_{counter}")

    async def test_a_revoked_certificate_is_not_taken(self, tmp_path: Path) -> None:
        crl = {"inline_string": AUTHORITY.revocation_list(CLIENT)}
        tls = server_tls(A, common={"validation_context": trust(AUTHORITY, crl=crl)})
        async with lab(tmp_path, listener(chain(answers("a"), tls=tls))) as proxy:
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await ask(proxy.port(), client_context(AUTHORITY, CLIENT, tmp_path), "a.test")
            assert "certificate_revoked" in await proxy.log_line()

    async def test_an_expired_one_is_taken_where_allowed(self, tmp_path: Path) -> None:
        old = AUTHORITY.issue("old", "old.test", expired=True)
        tls = server_tls(A, common={"validation_context": trust(AUTHORITY, allow_expired_certificate=True)})
        async with lab(tmp_path, listener(chain(answers("a"), tls=tls))) as proxy:
            assert "200 OK" in await ask(proxy.port(), client_context(AUTHORITY, old, tmp_path), "a.test")

    async def test_to_ask_without_an_authority_is_refused_by_name(self, tmp_path: Path) -> None:
        with pytest.raises(CompileError, match="trusted_ca"):
            async with lab(
                tmp_path, listener(chain(answers("a"), tls=server_tls(A, require_client_certificate=True)))
            ):
                pass


class TestForwardedClientCertificate:
    DETAILS = {"subject": True, "dns": True, "uri": True}  # noqa: RUF012
    ELEMENT = rf'{CLIENT_HASH};Subject="CN=client one,O=or\,g";URI=spiffe://td/ns/x/sa/y;DNS=client.test'

    @pytest.mark.parametrize(
        ("policy", "with_certificate", "wanted"),
        [
            ("SANITIZE", True, None),
            ("SANITIZE_SET", True, ELEMENT),
            ("APPEND_FORWARD", True, f"By=me,{ELEMENT}"),
            ("FORWARD_ONLY", True, "By=me"),
            ("ALWAYS_FORWARD_ONLY", False, "By=me"),
            ("SANITIZE_SET", False, None),
            ("APPEND_FORWARD", False, None),
            ("FORWARD_ONLY", False, None),
        ],
    )
    async def test_policy(
        self, tmp_path: Path, policy: str, with_certificate: bool, wanted: str | None
    ) -> None:
        manager = answers(
            "a", forward_client_cert_details=policy, set_current_client_cert_details=self.DETAILS
        )
        tls = server_tls(A, common={"validation_context": trust(AUTHORITY)})
        context = client_context(AUTHORITY, CLIENT if with_certificate else None, tmp_path)
        async with (
            upstream() as (port, _),
            lab(tmp_path, listener(chain(manager, tls=tls)), clusters=[cluster(port)]) as proxy,
        ):
            told = await ask(
                proxy.port(), context, "a.test", path="/up", headers="x-forwarded-client-cert: By=me\r\n"
            )
            found = [line[25:] for line in told.splitlines() if line.startswith("x-forwarded-client-cert:")]
            assert found == ([] if wanted is None else [wanted])


class TestRequireTls:
    async def test_plain_requests_are_sent_to_https(self, tmp_path: Path) -> None:
        strict = {"require_tls": "ALL"}
        both = listener(
            chain(answers("tls", virtual_host=strict), tls=server_tls(A), transport_protocol="tls"),
            chain(answers("plain", virtual_host=strict)),
            listener_filters=[INSPECTOR],
        )
        async with lab(tmp_path, both) as proxy:
            plain = await ask(proxy.port(), path="/x")
            assert plain.startswith("HTTP/1.1 301")
            assert "location: https://h/x\r\n" in plain
            assert (await ask(proxy.port(), HTTPS, "a.test")).endswith("tls")


class TestTcp:
    async def test_tls_ends_here(self, tmp_path: Path) -> None:
        async with (
            upstream() as (port, _),
            lab(
                tmp_path, listener(chain(tcp_proxy("up"), tls=server_tls(A))), clusters=[cluster(port)]
            ) as proxy,
        ):
            assert "GET /raw" in await ask(proxy.port(), HTTPS, "a.test", path="/raw")

    async def test_tls_passes_through_by_its_server_name(self, tmp_path: Path) -> None:
        passing = listener(chain(tcp_proxy("up"), server_names=["b.test"]), listener_filters=[INSPECTOR])
        async with (
            upstream(server_context(B, tmp_path)) as (port, names),
            lab(tmp_path, passing, clusters=[cluster(port)]) as proxy,
        ):
            assert "GET /through" in await ask(proxy.port(), HTTPS, "b.test", path="/through")
            assert names == ["b.test"]
            assert "sni=b.test" in await proxy.log_line()


class TestUpdates:
    async def test_a_port_may_change_from_plain_to_tls_and_back(self, tmp_path: Path) -> None:
        plain = listener(chain(answers("plain")))
        secured = listener(chain(answers("tls"), tls=server_tls(A)))
        async with lab(tmp_path, plain) as proxy, lab(tmp_path, secured) as other:
            live = proxy.configuration.listeners["web"].listener
            new = other.configuration.listeners["web"].listener
            assert live is not None
            assert new is not None
            port, old_settings = proxy.port(), live.settings
            assert (await ask(port)).endswith("plain")

            live.update(new.settings)
            assert (await ask(port, HTTPS, "a.test")).endswith("tls")

            live.update(old_settings)
            assert (await ask(port)).endswith("plain")
