"""x-forwarded-client-cert: what a connection manager tells of a client's certificate, and whom it believes.

Depends only on the configuration and on the connection's certificate, so its element is made once for each
header block at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from minimesh.data_plane.http.hcm_config import ClientCertDetails, ForwardClientCert

if TYPE_CHECKING:
    from minimesh.data_plane.http.hcm_config import HttpConnectionManagerConfig
    from minimesh.data_plane.network.tls.server import TlsConnection

HEADER = "x-forwarded-client-cert"


def forwarded_certificate(
    config: HttpConnectionManagerConfig, tls: TlsConnection | None, known: str | None
) -> str | None:
    """The header's value for the upstream; None: no header. `known` is what the client sent."""
    policy = config.forward_client_cert
    if policy is ForwardClientCert.ALWAYS_FORWARD_ONLY:
        return known
    # Without a certificate of the client's there is nobody to believe.
    if tls is None or tls.peer is None or policy is ForwardClientCert.SANITIZE:
        return None
    if policy is ForwardClientCert.FORWARD_ONLY:
        return known
    made = certificate_element(tls, config.client_cert_details)
    if policy is ForwardClientCert.APPEND_FORWARD and known:
        return f"{known},{made}"
    return made


def certificate_element(tls: TlsConnection, details: ClientCertDetails) -> str:
    """One element: who we are, the certificate's hash, and the details asked for, in Envoy's order."""
    peer = tls.peer
    assert peer is not None
    parts = [f"By={uri}" for uri in tls.local.uris]
    parts.append(f"Hash={peer.sha256}")
    if details.cert:
        parts.append(f'Cert="{quote(peer.pem, safe="")}"')
    if details.chain:
        parts.append(f'Chain="{quote(tls.peer_chain_pem(), safe="")}"')
    if details.subject:
        parts.append(f'Subject="{peer.subject}"')
    if details.uri:
        parts.extend([f"URI={uri}" for uri in peer.uris] or ["URI="])
    if details.dns:
        parts.extend(f"DNS={name}" for name in peer.dns_names)
    return ";".join(parts)
