"""The ADS stream to the control plane: what comes is applied and acknowledged, what breaks is tried again.

`xds.ads_protocol` decides which request follows which response; `config_update` what becomes of the
resources. This module only owns the gRPC stream. While the control plane is away the last good
configuration stays.

As in Envoy, the ACK of clusters is withheld while any of them is warming. A control plane that waits for it
before it sends routes thus never sends a request to a cluster that is not found yet.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from grpclib.client import Channel
from grpclib.const import Cardinality
from grpclib.exceptions import StreamTerminatedError

from minimesh.data_plane.xds_client.config_update import (
    LiveConfiguration,
    PartlyRejectedUpdateError,
    RejectedUpdateError,
)
from minimesh.data_plane.xds_client.discovery_response import apply_response
from minimesh.xds import messages as m
from minimesh.xds.ads_protocol import Client, UnexpectedResponseError
from minimesh.xds.resource_names import (
    CLUSTER_TYPE_URL,
    ENDPOINT_TYPE_URL,
    LISTENER_TYPE_URL,
    ROUTE_TYPE_URL,
    RUNTIME_TYPE_URL,
    SECRET_TYPE_URL,
    SHORT_TYPE_NAMES,
)

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
_SHORT_NAMES = {**SHORT_TYPE_NAMES, SECRET_TYPE_URL: "SDS", RUNTIME_TYPE_URL: "RTDS"}
#: Reconnecting: the wait doubles from the first to the second, and a random part of it is slept.
FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 5.0


class AdsClient:
    """Follows one control plane for as long as `run` runs."""

    def __init__(
        self,
        configuration: LiveConfiguration,
        node: Any,
        host: str,
        port: int,
        *,
        want_clusters: bool = True,
        want_listeners: bool = True,
        report: Callable[[str], None] = lambda text: None,
        deliver: Callable[[Any], Awaitable[None]] | None = None,
    ) -> None:
        """`report` is told, one line each, what an operator should know (connected, lost, rejected).

        `deliver` takes each response that `configuration` took on to others, before it is acknowledged; it
        raises RejectedUpdateError when one of them refuses.
        """
        self.configuration = configuration
        self.connected = False
        #: Set when CDS and LDS were both accepted for the first time.
        self.initialized = asyncio.Event()
        self._host, self._port = host, port
        self._report = report
        self._deliver = deliver
        self._client = Client(node)
        self._waiting_for: set[str] = set()
        self._complained = False
        self._reported_notices = 0
        #: The ACK of the newest clusters, while any of them is warming.
        self._withheld: Any = None
        self._is_withheld = asyncio.Event()
        #: Held while a response is applied and answered, and while the ACK withheld is sent.
        self._turn = asyncio.Lock()
        for type_url, wanted in ((CLUSTER_TYPE_URL, want_clusters), (LISTENER_TYPE_URL, want_listeners)):
            if wanted:
                self._client.subscribe_all(type_url)
                self._waiting_for.add(type_url)
        # Static resources may name load assignments and routes too.
        self._client.subscribe(ENDPOINT_TYPE_URL, configuration.endpoint_names)
        self._client.subscribe(ROUTE_TYPE_URL, configuration.route_names)
        self._client.subscribe(SECRET_TYPE_URL, configuration.secret_names)
        self._client.subscribe(RUNTIME_TYPE_URL, configuration.runtime_names)
        if not self._waiting_for:
            self.initialized.set()
        stats = configuration.stats
        self._connected_state = stats.gauge("control_plane.connected_state")
        self._attempts = {
            type_url: stats.counter(f"{_stat_prefix(short)}.update_attempt")
            for type_url, short in _SHORT_NAMES.items()
        }

    async def run(self) -> None:
        """Connect, follow, reconnect; ends only by cancellation."""
        backoff_s = FIRST_BACKOFF_S
        task = asyncio.current_task()
        assert task is not None
        while True:
            try:
                # A task of its own: grpclib cancels the task that waits on a broken stream, and turns even a
                # cancellation of ours into its own error, so that only the task tells the two apart.
                received = await asyncio.create_task(self._follow())
                self._lost("the stream ended")
            except Exception as error:  # whatever broke the stream: a proxy left alone would go stale unseen
                if task.cancelling():
                    raise asyncio.CancelledError from None
                received = self.connected
                self._lost(str(error) or type(error).__name__)
            backoff_s = FIRST_BACKOFF_S if received else min(backoff_s * 2, LONGEST_BACKOFF_S)
            # Not for secrets: spreads the proxies that come back at once.
            await asyncio.sleep(random.uniform(backoff_s / 2, backoff_s))

    async def _follow(self) -> bool:
        """One stream from its beginning to its end; whether anything was received."""
        channel = Channel(self._host, self._port)
        received = False
        warmth: asyncio.Task[None] | None = None
        try:
            async with channel.request(
                _METHOD,
                Cardinality.STREAM_STREAM,
                m.discovery_pb2.DiscoveryRequest,
                m.discovery_pb2.DiscoveryResponse,
            ) as stream:
                await stream.send_request()
                for request in self._client.connected():
                    await stream.send_message(request)
                self._mark_connected(True)
                warmth = asyncio.create_task(self._acknowledge_when_warm(stream))
                while (response := await stream.recv_message()) is not None:
                    received = True
                    async with self._turn:
                        for request in await self._answers(response):
                            await stream.send_message(request)
                await stream.recv_trailing_metadata()
        finally:
            if warmth is not None:
                warmth.cancel()
            self._client.disconnected()
            self._withhold(None)
            channel.close()
        return received

    async def _acknowledge_when_warm(self, stream: Any) -> None:
        # A stream that breaks meanwhile is its reader's to tell of.
        with suppress(StreamTerminatedError):
            while True:
                await self._is_withheld.wait()
                await self.configuration.clusters_warmed()
                async with self._turn:
                    # Meanwhile, newer clusters may have come, or a refusal that answers for both.
                    if self._withheld is not None and not self.configuration.has_warming_clusters:
                        acknowledgement = self._withheld
                        self._withhold(None)
                        await stream.send_message(acknowledgement)

    def _withhold(self, acknowledgement: Any) -> None:
        self._withheld = acknowledgement
        if acknowledgement is None:
            self._is_withheld.clear()
        else:
            self._is_withheld.set()

    async def _answers(self, response: Any) -> list[Any]:
        """Apply a response; what to send back: subscriptions that follow from it, and ACK or NACK."""
        counter = self._attempts.get(response.type_url)
        if counter is not None:
            counter.inc()
        try:
            await self._apply(response)
        except (RejectedUpdateError, m.DecodeError) as error:
            return self._rejected(response, str(error))
        except Exception as error:  # a mistake of ours must not cost the configuration in force
            return self._rejected(response, f"internal error: {type(error).__name__}: {error}")
        self._report_notices()
        requests = self._new_subscriptions(response.type_url)
        try:
            acknowledgement = self._client.accept(response)
        except UnexpectedResponseError as error:
            self._report(f"ignored: {error}")
            return []
        self._waiting_for.discard(response.type_url)
        if not self._waiting_for:
            self.initialized.set()
        if response.type_url == CLUSTER_TYPE_URL:
            withheld = self.configuration.has_warming_clusters
            self._withhold(acknowledgement if withheld else None)
            return requests if withheld else [*requests, acknowledgement]
        return [*requests, acknowledgement]

    async def _apply(self, response: Any) -> None:
        try:
            apply_response(self.configuration, response)
        except PartlyRejectedUpdateError:
            await self._deliver_on(response)
            raise
        await self._deliver_on(response)

    async def _deliver_on(self, response: Any) -> None:
        if self._deliver is not None:
            await self._deliver(response)

    def _report_notices(self) -> None:
        """What was taken but is not acted on: each once."""
        notices = self.configuration.context.notices
        for notice in notices[self._reported_notices :]:
            self._report(notice)
        self._reported_notices = len(notices)

    def _rejected(self, response: Any, reason: str) -> list[Any]:
        short = _SHORT_NAMES.get(response.type_url, response.type_url)
        self._report(f"{short} update rejected: {reason}")
        self.configuration.stats.counter(f"{_stat_prefix(short)}.update_rejected").inc()
        if response.type_url == CLUSTER_TYPE_URL:
            self._withhold(None)
        try:
            return [self._client.reject(response, reason)]
        except UnexpectedResponseError:
            return []

    def _new_subscriptions(self, type_url: str) -> list[Any]:
        """Clusters name load assignments, listeners name routes, both name secrets."""
        if type_url == CLUSTER_TYPE_URL:
            request = self._client.subscribe(ENDPOINT_TYPE_URL, self.configuration.endpoint_names)
        elif type_url == LISTENER_TYPE_URL:
            request = self._client.subscribe(ROUTE_TYPE_URL, self.configuration.route_names)
        else:
            return []
        secrets = self._client.subscribe(SECRET_TYPE_URL, self.configuration.secret_names)
        return [each for each in (request, secrets) if each is not None]

    def _mark_connected(self, connected: bool) -> None:
        self.connected = connected
        self._connected_state.set(int(connected))
        if connected:
            self._complained = False

    def _lost(self, reason: str) -> None:
        """Say once that the control plane is away, not at every attempt."""
        self._mark_connected(False)
        if not self._complained:
            self._complained = True
            self._report(f"control plane {self._host}:{self._port} is away ({reason}); trying again")


def _stat_prefix(short: str) -> str:
    return {"CDS": "cluster_manager.cds", "LDS": "listener_manager.lds"}.get(short, short.lower())
