"""The certificates that a proxy's listeners and clusters name, out of Secrets of the proxy's namespace.

`kubernetes://gs` is the key pair of the Secret `gs`; `kubernetes://gs-cacert` the authorities for the peer's
certificate, of the Secret `gs-cacert` or else of `gs` itself. Gateways of the Gateway API name Secrets of any
namespace, `kubernetes-gateway://ns/gs`, and authorities in ConfigMaps, `configmap://ns/ca-cacert`. A Secret
that is not there, or holds nothing of the kind, is left out: the listener's chain then takes no connection,
as in Istio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.translation.proxy import Proxy

KUBERNETES = "kubernetes://"
KUBERNETES_GATEWAY = "kubernetes-gateway://"
CONFIG_MAP = "configmap://"
_SCHEMES = (KUBERNETES, KUBERNETES_GATEWAY, CONFIG_MAP)
CA_SUFFIX = "-cacert"
#: Keys of the data of a Secret of type kubernetes.io/tls, and of Istio's older generic ones.
_KEY_PAIRS = (("tls.crt", "tls.key"), ("cert", "key"))
_AUTHORITIES = ("ca.crt", "cacert")


def build_secrets(proxy: Proxy, push: PushContext, names: Iterable[str]) -> list[Any]:
    """The secrets of these names, as far as they are there; sorted by name."""
    found = (_secret(proxy, push, name) for name in sorted(names))
    return [secret for secret in found if secret is not None]


def names_of_listeners(listeners: Iterable[Any]) -> set[str]:
    """The secrets that these listeners name."""
    chains = (chain for listener in listeners for chain in listener.filter_chains)
    return _names((chain.transport_socket for chain in chains), m.tls_pb2.DownstreamTlsContext)


def names_of_clusters(clusters: Iterable[Any]) -> set[str]:
    """The secrets that these clusters name."""
    return _names((cluster.transport_socket for cluster in clusters), m.tls_pb2.UpstreamTlsContext)


def secret_name(credential: str) -> str:
    """The name of the resource that holds a Gateway's credential."""
    return credential if credential.startswith(_SCHEMES) else f"{KUBERNETES}{credential}"


def name_secret(config: Any, name: str) -> None:
    """Write an SdsSecretConfig that fetches a secret over ADS."""
    config.name = name
    # No endless wait as for other types: a missing credential must not keep the other servers' port shut.
    config.sds_config.ads.SetInParent()
    config.sds_config.resource_api_version = m.config_source_pb2.ApiVersion.V3


def _names(sockets: Iterable[Any], kind: Callable[[], Any]) -> set[str]:
    names: set[str] = set()
    for socket in sockets:
        config = kind()
        if not socket.typed_config.Unpack(config):
            continue
        common = config.common_tls_context
        names.update(each.name for each in common.tls_certificate_sds_secret_configs)
        names.add(common.combined_validation_context.validation_context_sds_secret_config.name)
    return {name for name in names if name.startswith(_SCHEMES)}


def _secret(proxy: Proxy, push: PushContext, name: str) -> Any | None:
    scheme, _, credential = name.partition("://")
    message = m.tls_secret_pb2.Secret(name=name)
    if f"{scheme}://" == CONFIG_MAP:
        namespace, _, owner = credential.removesuffix(CA_SUFFIX).partition("/")
        bundle = push.config_map(namespace, owner).get("ca.crt")
        if bundle is None:
            return None
        message.validation_context.trusted_ca.inline_bytes = bundle.encode()
        return message
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
