"""The connections to one host whose TLS handshake decides the protocol (ALPN).

Until the first connection is made, HTTP/2 is expected: requests wait for one connection together. What a
connection turns out to speak is expected of the next ones, and who waits moves to the pool of that protocol.
"""

from __future__ import annotations

from typing import Any

from minimesh.data_plane.upstream.connection_pool import ClusterResources, ConnectionPool, Requester
from minimesh.data_plane.upstream.host import Host
from minimesh.data_plane.upstream.multiplexed_pool import MultiplexedPool


class NegotiatedPool:
    """See the module; to a router it is a pool like any other."""

    __slots__ = ("_expected", "_http1", "_http2", "host")

    def __init__(self, host: Host, resources: ClusterResources) -> None:
        self.host = host
        self._http1 = ConnectionPool(host, resources)
        self._http2 = MultiplexedPool(host, resources)
        self._http1.on_other_protocol = self._http2.on_other_protocol = self._switch
        self._expected: ConnectionPool = self._http2

    @property
    def waiting(self) -> list[Requester]:
        return [*self._http1.waiting, *self._http2.waiting]

    def name_server(self, server_name: str) -> None:
        self._http1.name_server(server_name)
        self._http2.name_server(server_name)

    def acquire(self, requester: Requester) -> Any:
        return self._expected.acquire(requester)

    def cancel(self, requester: Requester) -> None:
        self._http1.cancel(requester)
        self._http2.cancel(requester)

    def close_idle(self, older_than: float = float("inf")) -> None:
        self._http1.close_idle(older_than)
        self._http2.close_idle(older_than)

    def drain(self) -> None:
        self._http1.drain()
        self._http2.drain()

    def _switch(self, connection: Any) -> None:
        """A connection speaks the other protocol: it and all who wait go to the pool for that."""
        before = self._expected
        after = self._http2 if before is self._http1 else self._http1
        self._expected = after
        after.waiting.extend(before.waiting)
        before.waiting.clear()
        after.take_over(connection)
        after.dial_for_waiting()
