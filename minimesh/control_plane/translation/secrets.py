"""The certificates that a gateway's listeners name, out of Secret resources of the gateway's namespace.

`kubernetes://gs` is the key pair of the Secret `gs`; `kubernetes://gs-cacert` the authorities for client
certificates, of the Secret `gs-cacert` or else of `gs` itself. A Secret that is not there, or holds nothing
of the kind, is left out: the listener's chain then takes no connection, as in Istio.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.translation.proxy import Proxy

KUBERNETES = "kubernetes://"
CA_SUFFIX = "-cacert"
#: Keys of the data of a Secret of type kubernetes.io/tls, and of Istio's older generic ones.
_KEY_PAIRS = (("tls.crt", "tls.key"), ("cert", "key"))
_AUTHORITIES = ("ca.crt", "cacert")


def build_secrets(proxy: Proxy, push: PushContext, listeners: Iterable[Any]) -> list[Any]:
    """The secrets that these listeners name, as far as they are there; sorted by name."""
    found = (_secret(proxy, push, name) for name in sorted(_names(listeners)))
    return [secret for secret in found if secret is not None]


def _names(listeners: Iterable[Any]) -> set[str]:
    names: set[str] = set()
    for listener in listeners:
        for chain in listener.filter_chains:
            config = m.tls_pb2.DownstreamTlsContext()
            if not chain.transport_socket.typed_config.Unpack(config):
                continue
            common = config.common_tls_context
            names.update(each.name for each in common.tls_certificate_sds_secret_configs)
            names.add(common.combined_validation_context.validation_context_sds_secret_config.name)
    return {name for name in names if name.startswith(KUBERNETES)}


def _secret(proxy: Proxy, push: PushContext, name: str) -> Any | None:
    credential = name.removeprefix(KUBERNETES)
    message = m.tls_secret_pb2.Secret(name=name)
    data = _data(proxy, push, credential)
    if credential.endswith(CA_SUFFIX):
        own = _data(proxy, push, credential.removesuffix(CA_SUFFIX))
        authorities = next((each[key] for each in (data, own) for key in _AUTHORITIES if key in each), None)
        if authorities is None:
            return None
        message.validation_context.trusted_ca.inline_bytes = authorities
        return message
    for chain, key in _KEY_PAIRS:
        if chain in data and key in data:
            message.tls_certificate.certificate_chain.inline_bytes = data[chain]
            message.tls_certificate.private_key.inline_bytes = data[key]
            return message
    return None


def _data(proxy: Proxy, push: PushContext, credential: str) -> Mapping[str, bytes]:
    namespace, _, name = credential.rpartition("/")
    spec = push.secret(namespace or proxy.namespace, name)
    if spec is None:
        return {}
    return {**spec.data, **{key: value.encode() for key, value in spec.string_data.items()}}
