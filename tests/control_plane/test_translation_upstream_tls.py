"""TLS to a destination, as a DestinationRule asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from minimesh.control_plane.translation import Resources, build_resources
from minimesh.control_plane.translation.proxy import Proxy
from minimesh.xds import messages as m
from tests.control_plane.meshes import gateway_proxy, push, sidecar_proxy

OUTSIDE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cnn}
spec:
  hosts: [edition.cnn.com]
  resolution: DNS
  ports:
  - {number: 80, name: http-port, protocol: HTTP, targetPort: 443}
  - {number: 443, name: https-port, protocol: HTTPS}
  - {number: 90, name: grpc, protocol: GRPC}
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cnn}
spec:
  host: edition.cnn.com
"""
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: client-credential, namespace: istio-system}
stringData: {tls.crt: certificate, tls.key: key, ca.crt: authority}
"""
ORIGINATED = "outbound|80||edition.cnn.com"


def resources(policy: str, *more: str, proxy: Proxy | None = None, extra: str = "") -> Resources:
    rule = f"{RULE}  trafficPolicy: {policy}\n{extra}"
    return build_resources(proxy or sidecar_proxy({"app": "curl"}), push(OUTSIDE, rule, *more))


def context(found: Resources, cluster: str = ORIGINATED) -> Any:
    """The UpstreamTlsContext of a cluster; None for plain text."""
    if not found.clusters[cluster].HasField("transport_socket"):
        return None
    config = m.tls_pb2.UpstreamTlsContext()
    assert found.clusters[cluster].transport_socket.typed_config.Unpack(config)
    return config


def http_options(found: Resources, cluster: str = ORIGINATED) -> Any:
    options = m.http_protocol_options_pb2.HttpProtocolOptions()
    [packed] = found.clusters[cluster].typed_extension_protocol_options.values()
    packed.Unpack(options)
    return options


def test_tls_is_spoken_on_the_port_that_asks_for_it() -> None:
    found = resources("{portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}")
    config = context(found)
    assert config.common_tls_context.tls_params.tls_minimum_protocol_version == 3  # TLSv1_2
    assert config.common_tls_context.validation_context.trusted_ca.filename.endswith((".crt", ".pem"))
    assert context(found, "outbound|443||edition.cnn.com") is None


def test_without_a_name_the_requests_host_is_asked_for_and_checked() -> None:
    options = http_options(resources("{tls: {mode: SIMPLE}}"))
    assert options.upstream_http_protocol_options.auto_sni
    assert options.upstream_http_protocol_options.auto_san_validation


def test_a_name_is_sent_as_written() -> None:
    found = resources("{tls: {mode: SIMPLE, sni: other.example.com, subjectAltNames: [a.example.com]}}")
    assert context(found).sni == "other.example.com"
    names = context(found).common_tls_context.validation_context.match_typed_subject_alt_names
    assert {name.matcher.exact for name in names} == {"a.example.com"}
    assert not found.clusters[ORIGINATED].typed_extension_protocol_options


def test_whoever_skips_verification_trusts_anybody() -> None:
    found = resources("{tls: {mode: SIMPLE, insecureSkipVerify: true}}")
    assert context(found).common_tls_context.WhichOneof("validation_context_type") is None
    assert not http_options(found).upstream_http_protocol_options.auto_san_validation


def test_files_are_read_where_the_proxy_runs() -> None:
    found = resources(
        "{tls: {mode: MUTUAL, clientCertificate: /c.pem, privateKey: /k.pem, caCertificates: /ca.pem}}"
    )
    common = context(found).common_tls_context
    assert common.tls_certificates[0].certificate_chain.filename == "/c.pem"
    assert common.tls_certificates[0].private_key.filename == "/k.pem"
    assert common.validation_context.trusted_ca.filename == "/ca.pem"


def test_http2_is_offered_where_the_port_speaks_it() -> None:
    found = resources("{tls: {mode: SIMPLE}}")
    assert list(context(found, "outbound|90||edition.cnn.com").common_tls_context.alpn_protocols) == ["h2"]
    assert not context(found).common_tls_context.alpn_protocols


CREDENTIAL = "{tls: {mode: MUTUAL, credentialName: client-credential, sni: edition.cnn.com}}"


def test_a_gateway_fetches_the_credential() -> None:
    found = resources(CREDENTIAL, SECRET, proxy=gateway_proxy())
    common = context(found).common_tls_context
    assert [each.name for each in common.tls_certificate_sds_secret_configs] == [
        "kubernetes://client-credential"
    ]
    named = common.combined_validation_context.validation_context_sds_secret_config.name
    assert named == "kubernetes://client-credential-cacert"
    assert sorted(found.secrets) == [
        "kubernetes://client-credential",
        "kubernetes://client-credential-cacert",
    ]
    assert found.secrets[named].validation_context.trusted_ca.inline_bytes == b"authority"


def test_a_workload_fetches_it_when_the_rule_selects_it() -> None:
    selector = "  workloadSelector: {matchLabels: {app: curl}}\n"
    assert resources(CREDENTIAL, extra=selector).clusters[ORIGINATED].HasField("transport_socket")
    common = context(resources(CREDENTIAL, extra=selector)).common_tls_context
    assert common.tls_certificate_sds_secret_configs
    assert not context(resources(CREDENTIAL)).common_tls_context.tls_certificate_sds_secret_configs


@pytest.mark.parametrize("mode", ["DISABLE", "ISTIO_MUTUAL"])
def test_plain_text_otherwise(mode: str) -> None:
    assert context(resources(f"{{tls: {{mode: {mode}}}}}")) is None


def test_a_subset_speaks_as_its_rule_unless_it_says_otherwise() -> None:
    extra = "  subsets:\n  - {name: tls}\n  - {name: plain, trafficPolicy: {tls: {mode: DISABLE}}}\n"
    found = resources("{tls: {mode: SIMPLE}}", extra=extra)
    assert context(found, "outbound|80|tls|edition.cnn.com") is not None
    assert context(found, "outbound|80|plain|edition.cnn.com") is None
