"""What routing asks of a request.

The HTTP side implements `RequestHead`; nothing here knows how a head is stored. Header names are lower case,
values are text decoded as Latin-1, one entry for each header line.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class RequestHead(Protocol):
    """One request head, after normalisation and before any rewrite."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str:
        """The request target with its query string: `/one?x=1`."""

    @property
    def authority(self) -> str:
        """Host as the client wrote it, port included, case kept. Empty when there was none."""

    @property
    def scheme(self) -> str:
        """`http` or `https`."""

    def header_values(self, name: str) -> Sequence[str]:
        """All values of a header, in order; empty when absent.

        `name` is lower case. `:path`, `:method`, `:authority` and `:scheme` answer as headers do.
        """


class PeerCertificate(NamedTuple):
    """What is known of the client's certificate when a route asks for one."""

    presented: bool
    validated: bool


NO_PEER_CERTIFICATE = PeerCertificate(presented=False, validated=False)
_NO_METADATA: Mapping[str, Mapping[str, object]] = {}


def path_without_query(path: str) -> str:
    """The part of a request target that path matchers see: no query string, no fragment."""
    if "?" in path:
        path = path[: path.index("?")]
    if "#" in path:
        path = path[: path.index("#")]
    return path


def dynamic_metadata_of(head: RequestHead) -> Mapping[str, Mapping[str, object]]:
    """Metadata that filters attached to the request, by namespace.

    An optional attribute `dynamic_metadata` of the head: no filter of ours writes any yet, and a head without
    the attribute is as one without metadata.
    """
    found: Mapping[str, Mapping[str, object]] = getattr(head, "dynamic_metadata", _NO_METADATA)
    return found


def peer_certificate_of(head: RequestHead) -> PeerCertificate | None:
    """The client's certificate: an optional attribute `peer_certificate` of the head, None on plain text."""
    found: PeerCertificate | None = getattr(head, "peer_certificate", None)
    return found
