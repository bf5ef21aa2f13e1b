"""TLS of a Gateway's listener, as Istio's Gateway says it, or why it cannot be had."""

from __future__ import annotations

import binascii
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from minimesh.config.istio.traffic import ServerTLSMode, ServerTLSSettings
from minimesh.control_plane.gateway_api.conditions import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from minimesh.config.resources import Resource
    from minimesh.control_plane.gateway_api.grants import Grants
    from minimesh.control_plane.gateway_api.world import World

MODE_OPTION = "gateway.istio.io/tls-terminate-mode"
CIPHERS_OPTION = "gateway.istio.io/tls-cipher-suites"
SECRET_PREFIX = "kubernetes-gateway://"  # noqa: S105  the beginning of a resource's name
CONFIG_MAP_PREFIX = "configmap://"
CA_SUFFIX = "-cacert"
_CROSS_NETWORK_PORT = 15443
_NETWORK_LABEL = "topology.istio.io/network"
_PORT_LABEL = "networking.istio.io/gatewayPort"
_PASSTHROUGH_OPTION = "gateway.istio.io/listener-protocol"
_KNOWN_CIPHERS = frozenset(
    f"ECDHE-{key}-{cipher}"
    for key in ("ECDSA", "RSA")
    for cipher in (
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "CHACHA20-POLY1305",
        "AES128-SHA",
        "AES256-SHA",
    )
) | {"AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA", "DES-CBC3-SHA"}


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """The settings, or what is wrong with the listener's certificate or with its clients' authorities."""

    settings: ServerTLSSettings | None = None
    certificate: Fault | None = None
    authorities: Fault | None = None


def listener_tls(gateway: Resource, listener: Any, world: World, grants: Grants) -> ListenerTls:
    """What a listener says of TLS; no settings where it says nothing."""
    tls = listener.tls
    if tls is None or listener.protocol == "HTTP":
        return ListenerTls()
    ciphers = _ciphers(tls.options)
    if tls.mode == "Passthrough":
        mode = (
            ServerTLSMode.AUTO_PASSTHROUGH
            if _is_cross_network(gateway, listener)
            else ServerTLSMode.PASSTHROUGH
        )
        return ListenerTls(ServerTLSSettings(mode=mode, cipher_suites=ciphers))
    option = tls.options.get(MODE_OPTION, "")
    if option == "ISTIO_MUTUAL":
        return ListenerTls(ServerTLSSettings(mode=ServerTLSMode.ISTIO_MUTUAL, cipher_suites=ciphers))
    if option == "ISTIO_SIMPLE":
        builtin = ServerTLSSettings(
            mode=ServerTLSMode.SIMPLE, credential_name="builtin://", cipher_suites=ciphers
        )
        return ListenerTls(builtin)
    return _terminating(gateway, listener, world, grants, ciphers)


def _terminating(
    gateway: Resource, listener: Any, world: World, grants: Grants, ciphers: tuple[str, ...]
) -> ListenerTls:
    names = []
    for reference in listener.tls.certificate_refs:
        found = _certificate(gateway, reference, world, grants)
        if isinstance(found, Fault):
            return ListenerTls(certificate=found)
        names.append(found)
    if not names:
        return ListenerTls(certificate=Fault("InvalidCertificateRef", "no certificateRefs were given"))
    option = listener.tls.options.get(MODE_OPTION, "")
    settings = ServerTLSSettings(
        mode=ServerTLSMode(option) if option in ("MUTUAL", "OPTIONAL_MUTUAL") else ServerTLSMode.SIMPLE,
        credential_name=names[0] if len(names) == 1 else "",
        credential_names=tuple(names) if len(names) > 1 else (),
        cipher_suites=ciphers,
    )
    return _with_clients(gateway, listener, world, grants, settings)


def _with_clients(
    gateway: Resource, listener: Any, world: World, grants: Grants, settings: ServerTLSSettings
) -> ListenerTls:
    """The settings with the authorities of clients' certificates, where the Gateway names some."""
    validation = _validation(gateway.spec, listener.port)
    if validation is None:
        return ListenerTls(settings)
    found = _authorities(gateway, validation, world, grants)
    if isinstance(found, Fault):
        return ListenerTls(authorities=found)
    insecure = validation.mode == "AllowInsecureFallback"
    mode = settings.mode
    if mode is ServerTLSMode.SIMPLE:
        mode = ServerTLSMode.OPTIONAL_MUTUAL if insecure else ServerTLSMode.MUTUAL
    return ListenerTls(
        replace(settings, mode=mode, ca_cert_credential_name=found, insecure_skip_verify=insecure)
    )


def _validation(spec: Any, port: int) -> Any | None:
    frontend = spec.tls.frontend if spec.tls is not None else None
    if frontend is None:
        return None
    for each in frontend.per_port:
        if each.port == port:
            return each.tls.validation if each.tls is not None else None
    return frontend.default.validation if frontend.default is not None else None


def _certificate(gateway: Resource, reference: Any, world: World, grants: Grants) -> str | Fault:
    """The credential's name, or why the reference leads to no certificate."""
    shown = f"invalid certificate reference {_shown(reference)}"
    if (reference.group or "", reference.kind or "Secret") != ("", "Secret"):
        return Fault("InvalidCertificateRef", f"{shown}, only secret is allowed")
    namespace = reference.namespace or gateway.namespace
    if not grants.allow("Gateway", gateway.namespace, "Secret", namespace, reference.name):
        return Fault("RefNotPermitted", _not_permitted("certificateRef", reference.name, namespace, gateway))
    secret = world.get("Secret", namespace, reference.name)
    if secret is None:
        return Fault("InvalidCertificateRef", f"{shown}, secret {namespace}/{reference.name} not found")
    fault = _malformed(secret.spec)
    if fault:
        return Fault("InvalidCertificateRef", f"{shown}, {fault}")
    return f"{SECRET_PREFIX}{namespace}/{reference.name}"


def _malformed(secret: Any) -> str:
    data: Mapping[str, bytes] = {
        **secret.data,
        **{key: value.encode() for key, value in secret.string_data.items()},
    }
    certificate, key = (
        data.get(f"tls.{part}") or data.get(old) for part, old in (("crt", "cert"), ("key", "key"))
    )
    if not certificate or not key:
        return "found secret, but didn't have expected keys (cert and key) or (tls.crt and tls.key)"
    if not _holds_pem(certificate):
        return "the certificate is malformed: tls: failed to find any PEM data in certificate input"
    if not _holds_pem(key):
        return "the certificate is malformed: tls: failed to find any PEM data in key input"
    return ""


def _holds_pem(text: bytes) -> bool:
    _, separator, rest = text.partition(b"-----BEGIN ")
    body, end, _ = rest.partition(b"-----\n")[2].partition(b"-----END ")
    if not separator or not end:
        return False
    try:
        return bool(binascii.a2b_base64(body))
    except binascii.Error:
        return False


def _authorities(gateway: Resource, validation: Any, world: World, grants: Grants) -> str | Fault:
    """The name of the authorities' credential, or why there are none."""
    if len(validation.ca_certificate_refs) != 1:
        return Fault("InvalidCACertificateRef", "only one caCertificateRef is supported")
    reference = validation.ca_certificate_refs[0]
    shown = f"invalid CA certificate reference {_shown(reference)}"
    kind = reference.kind or "Secret"
    if reference.group or kind not in ("Secret", "ConfigMap"):
        return Fault("InvalidCACertificateKind", f"{shown}, only secret and configmap are allowed")
    namespace = reference.namespace or gateway.namespace
    if not grants.allow("Gateway", gateway.namespace, kind, namespace, reference.name):
        if kind == "ConfigMap":
            where = f"caCertificateRef {namespace}/{reference.name}"
            return Fault("RefNotPermitted", f"{where} {_inaccessible(gateway)}")
        return Fault("RefNotPermitted", _not_permitted("certificateRef", reference.name, namespace, gateway))
    found = world.get(kind, namespace, reference.name)
    if found is None:
        missing = f"{kind.lower()} {namespace}/{reference.name} not found"
        return Fault("InvalidCACertificateRef", f"{shown}, {missing}")
    fault = _without_authorities(found.spec.data)
    if fault:
        return Fault("InvalidCACertificateRef", f"{shown}, {fault}")
    prefix = SECRET_PREFIX if kind == "Secret" else CONFIG_MAP_PREFIX
    return f"{prefix}{namespace}/{reference.name}{CA_SUFFIX}"


def _without_authorities(data: Mapping[str, Any]) -> str:
    text = data.get("ca.crt") or data.get("cacert")
    if not text:
        return "the CA certificate is missing: no ca.crt"
    holds = _holds_pem(text if isinstance(text, bytes) else text.encode())
    return "" if holds else "the bundle is malformed: no PEM data was found"


def _shown(reference: Any) -> str:
    return (
        f"{reference.group or ''}/{reference.kind or 'Secret'}/{reference.name}.{reference.namespace or ''}"
    )


def _not_permitted(word: str, name: str, namespace: str, gateway: Resource) -> str:
    return f"{word} {name}/{namespace} {_inaccessible(gateway)}"


def _inaccessible(gateway: Resource) -> str:
    return f'not accessible to a Gateway in namespace "{gateway.namespace}" (missing a ReferenceGrant?)'


def _ciphers(options: Mapping[str, str]) -> tuple[str, ...]:
    """The cipher suites of the option of Istio's; those that nobody knows are left out."""
    named = (each.strip() for each in options.get(CIPHERS_OPTION, "").split(","))
    return tuple(each for each in named if each in _KNOWN_CIPHERS)


def _is_cross_network(gateway: Resource, listener: Any) -> bool:
    """Whether this is the port by which other networks reach every service of this one."""
    if listener.tls.options.get(_PASSTHROUGH_OPTION) == "auto-passthrough":
        return True
    labels = gateway.metadata.labels
    port = labels.get(_PORT_LABEL, str(_CROSS_NETWORK_PORT))
    return _NETWORK_LABEL in labels and port == str(listener.port)
