"""A request on its way through the mesh without any socket: each proxy's own code, connections in memory.

Each proxy is compiled from what it was sent (`tables`). Where it dials, the connection leads to the next
proxy's listener, or to a stand-in for the application, which answers 200. The clock jumps (`virtual_time`),
and where the proxy draws lots the likeliest outcome is drawn. What comes of it: a `Hop` for each proxy that
saw the request, and what the client got.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from minimesh.data_plane.http.connection_manager import ConnectionManager
from minimesh.data_plane.http.hcm_config import HttpConnectionManagerConfig
from minimesh.data_plane.http.http1.upstream import Http1ClientConnection
from minimesh.data_plane.http.http2.upstream import Http2ClientConnection
from minimesh.data_plane.network.connection import ConnectionInfo
from minimesh.data_plane.network.filter_chains import ConnectionFacts
from minimesh.data_plane.network.timers import TimerWheel
from minimesh.data_plane.routing.actions import DirectResponseAction
from minimesh.data_plane.routing.matchers import PathKind, PathMatch, RouteMatch
from minimesh.data_plane.routing.route_table import Route, RouteConfigHolder, RouteTable, VirtualHost
from minimesh.explain.observation import Routing, observe
from minimesh.explain.pipe import connect
from minimesh.explain.tables import ChosenChain, ProxyTables, SteadyRandom
from minimesh.explain.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from minimesh.data_plane.telemetry.stream_info import StreamInfo
    from minimesh.explain.question import Question
    from minimesh.explain.world import Pod, World

T = TypeVar("T")
_CLIENT_PORT = 40000
#: Of the clock that jumps: who waits longer gets no answer.
_LIMIT_S = 86_400.0
HTTP_PROXY_PORT = 15080


@dataclass(slots=True)
class Hop:
    """A request at one proxy. `info` is None when the stream never came to its end."""

    pod: Pod
    tables: ProxyTables
    chosen: ChosenChain
    routing: Routing
    info: StreamInfo | None = None
    log_lines: tuple[str, ...] = ()
    called_by: Hop | None = None


@dataclass(frozen=True, slots=True)
class AppCall:
    """What an application was asked. `pod` None: something outside the mesh, at `address`."""

    pod: Pod | None
    address: str
    routing: Routing


@dataclass(slots=True)
class Outcome:
    """What the client got. `status` 0: no answer."""

    status: int = 0
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    refused: str = ""
    """Why there was no connection at all: `refused`, or `closed` by the filter chain; `tcp`: none of HTTP."""


@dataclass(slots=True)
class Rehearsal:
    """All that happened."""

    question: Question
    entry: Pod | None = None
    """The pod whose proxy the client talked to."""
    entry_tables: ProxyTables | None = None
    entry_chain: ChosenChain | None = None
    entry_port: int = 0
    hops: list[Hop] = field(default_factory=list)
    apps: list[AppCall] = field(default_factory=list)
    refusals: list[tuple[str, str]] = field(default_factory=list)
    """(address, reason) of connections that could not be made."""
    outcome: Outcome = field(default_factory=Outcome)


class Rehearsals:
    """The proxies of one world, each compiled when it is first asked; any number of requests, one at a time.

    What a request leaves behind is there for the next, as in the proxy: counts, and whose turn it is.
    """

    def __init__(self, world: World) -> None:
        self._loop = VirtualTimeLoop()
        self._stage = _Stage(world)

    def rehearse(
        self, question: Question, *, entry: Pod, address: str, port: int, random_value: int
    ) -> Rehearsal:
        """Send the request to `address:port` of a pod's proxy. May be called from anywhere."""

        def run() -> Rehearsal:
            playing = self._stage.play(question, entry, address, port, random_value)
            return self._loop.run_until_complete(playing)

        return _beside_any_loop(run)

    def close(self) -> None:
        """The tables live on, to be read; nothing goes on in them."""
        if not self._loop.is_closed():
            _beside_any_loop(lambda: self._loop.run_until_complete(_end_all()))
            self._loop.close()


def _beside_any_loop(run: Callable[[], T]) -> T:
    """Run a loop of our own; in another thread where this one has a loop that runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run()
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


async def _end_all() -> None:
    """Cancel all other tasks, and let them end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class _Stage:
    """Where rehearsals are played."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.result: Rehearsal
        self._draw = SteadyRandom(0)
        self._tables: dict[str, ProxyTables] = {}
        self._next_port = _CLIENT_PORT
        self._open_hops: list[Hop] = []
        self._chosen: dict[str, ChosenChain] = {}

    async def play(
        self, question: Question, entry: Pod, address: str, port: int, random_value: int
    ) -> Rehearsal:
        result = self.result = Rehearsal(question)
        self._draw.value = random_value
        self._open_hops = []
        tables = self.tables_of(entry)
        result.entry, result.entry_tables, result.entry_port = entry, tables, port
        accepted = tables.at(address, port)
        if accepted is None:
            result.outcome.refused = "refused"
        else:
            await self._converse(tables, accepted, address)
        return result

    async def _converse(self, tables: ProxyTables, accepted: tuple[Any, int], address: str) -> None:
        result, question = self.result, self.result.question
        settings, port = accepted
        tls = question.scheme == "https" and tables.pod.is_gateway
        facts = ConnectionFacts(
            port,
            address,
            "127.0.0.1",
            _CLIENT_PORT,
            server_name=question.authority.partition(":")[0].lower() if tls else "",
            transport_protocol="tls" if tls else "raw_buffer",
            application_protocols=("http/1.1",) if tls else (),
        )
        chosen = result.entry_chain = tables.choose(settings, facts)
        if chosen.manager is None:
            result.outcome.refused = "closed" if chosen.chain is None else "tcp"
            return
        client = _Client(_request_bytes(question, absolute=not tables.pod.is_gateway))
        info = self._accept(tables, chosen, client, address, "127.0.0.1")
        if tls:
            info.tls = _Tls()  # type: ignore[assignment]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LIMIT_S):
                await client.answered.wait()
        for _ in range(20):  # what closes behind the answer
            await asyncio.sleep(0)
        result.outcome = client.outcome(question.method)

    # --- connections ---

    def _accept(
        self, tables: ProxyTables, chosen: ChosenChain, client: Any, address: str, client_address: str
    ) -> ConnectionInfo:
        self._next_port += 1
        near, far = (client_address, self._next_port), (address, chosen.destination_port)
        info = ConnectionInfo(
            self._next_port, f"{address}:{far[1]}", f"{client_address}:{near[1]}", chosen.destination_port
        )
        assert chosen.chain is not None
        info.filter_chain_name = chosen.chain.name
        self._chosen[tables.pod.full_name] = chosen
        loop = asyncio.get_running_loop()
        protocol = chosen.chain.make_protocol(info, _Scope(loop))
        loop.call_soon(connect, client, protocol, near, far)
        return info

    async def _connect_http1(self, host: Any, settings: Any) -> Any:
        return await self._dial(host, settings, Http1ClientConnection())

    async def _connect_http2(self, host: Any, settings: Any) -> Any:
        return await self._dial(host, settings, Http2ClientConnection(settings.http2_options))

    async def _dial(self, host: Any, settings: Any, client: Any) -> Any:
        """A connection to whatever stands at a host's address. OSError where nothing does."""
        local = settings.local_address_for(host.address)
        source = local[0] if local else "127.0.0.1"
        server = self._server_at(host.address, host.port, client, source)
        if server is not None:
            self.result.refusals.append((host.name, server))
            if self._is_nameless(host.address):
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        for _ in range(2):
            await asyncio.sleep(0)
        return client

    def _server_at(self, address: str, port: int, client: Any, source: str) -> str | None:
        """Connect the client; why it is refused where nobody listens."""
        pod = self._sidecar_of(address, port)
        if pod is not None:
            return self._proxy_at(pod, port, client, source)
        # Where all pods share one address, their ports tell them apart.
        apps = [each for each in self.world.pods if each.app_address == address]
        app = next((each for each in apps if each.answers_at(port)), apps[0] if apps else None)
        if app is not None and not app.answers_at(port):
            known = ", ".join(map(str, sorted(app.app_ports or ())))
            return f"the application of {app.name} listens at {known}, not at {port}"
        if app is None and address.startswith(("127.10.", "127.11.")):
            return f"there is no pod at {address}"
        if self._is_nameless(address):
            return f'no DNS of this machine knows the name "{address}"'
        self._app_at(app, f"{address}:{port}", client, source, port)
        return None

    def _is_nameless(self, address: str) -> bool:
        """Whether no DNS knows a name: those of the mesh's services, and names without a domain.

        What a ServiceEntry declares may well be known, and so may paths of sockets.
        """
        if address == "localhost" or self.world.push.registry.service(address) is not None:
            return self.world.knows(address)
        without_domain = not any(each in address for each in ".:/")
        return without_domain or address.endswith((".svc", ".cluster.local")) or self.world.knows(address)

    def _sidecar_of(self, address: str, port: int) -> Pod | None:
        """The pod whose sidecar accepts there; where none does, one that has that address to itself."""
        there = [each for each in self.world.pods if each.ip == address and each.proxy is not None]
        accepting = [each for each in there if self.tables_of(each).at(address, port) is not None]
        alone = [each for each in there if each.app_address != address]
        return next(iter(accepting or alone), None)

    def _proxy_at(self, pod: Pod, port: int, client: Any, source: str) -> str | None:
        tables = self.tables_of(pod)
        accepted = tables.at(pod.ip, port)
        if accepted is None:
            return f"the sidecar of {pod.name} has no filter chain for port {port}"
        settings, meant = accepted
        chosen = tables.choose(settings, ConnectionFacts(meant, pod.ip, source, self._next_port))
        if chosen.manager is None:
            return self._through_tcp(pod, chosen, client, source)
        self._accept(tables, chosen, client, pod.ip, source)
        return None

    def _through_tcp(self, pod: Pod, chosen: ChosenChain, client: Any, source: str) -> str | None:
        """A chain that passes bytes on: to the application, at the port that the caller meant."""
        if chosen.chain is None:
            return f"no filter chain of {chosen.listener.name} of {pod.name} takes the connection"
        port = pod.port_map.get(chosen.destination_port, chosen.destination_port)
        return self._server_at(pod.app_address, port, client, source)

    def _app_at(self, pod: Pod | None, address: str, client: Any, source: str, port: int) -> None:
        def tell(routing: Routing) -> None:
            self.result.apps.append(AppCall(pod, address, routing))

        manager = _application(tell)
        info = ConnectionInfo(0, address, f"{source}:{self._next_port}", port)
        protocol = manager(info, _Scope(asyncio.get_running_loop()))
        host, _, number = address.rpartition(":")
        asyncio.get_running_loop().call_soon(
            connect, client, protocol, (source, self._next_port), (host, int(number))
        )

    # --- proxies ---

    def tables_of(self, pod: Pod) -> ProxyTables:
        """The pod's proxy, compiled when it is first asked."""
        found = self._tables.get(pod.full_name)
        if found is None:
            assert pod.proxy is not None
            workload = self.world.push.registry.workload(pod.namespace, pod.name)
            found = self._tables[pod.full_name] = ProxyTables(
                pod,
                self.world.resources_of(pod.proxy),
                self._connect_http1,
                self._connect_http2,
                lambda routing: self._began(pod, routing),
                lambda info: self._ended(pod, info),
                port_map=dict(workload.port_map) if workload is not None else {},
                draw=self._draw,
            )
        return found

    def _began(self, pod: Pod, routing: Routing) -> None:
        caller = next((hop for hop in reversed(self._open_hops) if hop.pod is not pod), None)
        hop = Hop(pod, self._tables[pod.full_name], self._chosen[pod.full_name], routing, called_by=caller)
        self.result.hops.append(hop)
        self._open_hops.append(hop)

    def _ended(self, pod: Pod, info: StreamInfo) -> None:
        hop = next((each for each in reversed(self._open_hops) if each.pod is pod), None)
        if hop is None:  # refused before any table was asked
            chosen, table = self._chosen[pod.full_name], RouteTable("", ())
            hop = Hop(pod, self._tables[pod.full_name], chosen, Routing(table, info.authority or "", None))
            self.result.hops.append(hop)
        else:
            self._open_hops.remove(hop)
        hop.info = info
        hop.log_lines = tuple(line.rstrip("\n") for line in hop.tables.log_lines[-1:])


class _Tls:
    """A connection that was encrypted; nobody showed a certificate."""

    peer = None
    facts: dict[str, str] = {}  # noqa: RUF012 - read only


class _Scope:
    """The listener's part for one connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.timers = TimerWheel(loop)

    def connection_closed(self, connection: object) -> None:
        """Nobody keeps a list here."""

    def connection_replaced(self, connection: object, successor: object) -> None:
        """Nor here."""


def _application(tell: Callable[[Routing], None]) -> ConnectionManager:
    """A server that answers 200 to everything, in HTTP/1.1 and HTTP/2, and tells what it was asked."""
    anything = RouteMatch(PathMatch(PathKind.PREFIX, ""))
    routes = [(anything, Route(DirectResponseAction(200, b"ok")))]
    holder = RouteConfigHolder(RouteTable("application", [VirtualHost("application", ["*"], routes)]))
    observe(holder, tell)
    return ConnectionManager(HttpConnectionManagerConfig("application", holder, server_name="application"))


class _Client(asyncio.Protocol):
    """Sends one request and takes what comes."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._received = b""
        self.answered = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data

    def connection_lost(self, error: Exception | None) -> None:
        self.answered.set()

    def outcome(self, method: str) -> Outcome:
        """What was received, read."""
        head, _, body = self._received.partition(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100"):
            head, _, body = body.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        _, _, rest = lines[0].partition(" ")
        status, _, reason = rest.partition(" ")
        headers = tuple(
            (name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])
        )
        return Outcome(
            status=int(status) if status.isdigit() else 0,
            reason=reason,
            headers=headers,
            body="" if method == "HEAD" else body.decode("utf-8", "replace"),
        )


def _request_bytes(question: Question, *, absolute: bool) -> bytes:
    """The request in HTTP/1.1, its connection closing behind it; `absolute`: as it is sent to a proxy."""
    target = f"{question.scheme}://{_netloc(question)}{question.target}" if absolute else question.target
    headers = [("Host", question.authority), *question.headers]
    known = {name.lower() for name, _ in headers}
    for name, value in (("User-Agent", "curl/8.5.0"), ("Accept", "*/*")):
        if name.lower() not in known:
            headers.append((name, value))
    if question.method in ("POST", "PUT", "PATCH") and "content-length" not in known:
        headers.append(("Content-Length", "0"))
    headers.append(("Connection", "close"))
    lines = [f"{question.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace")


def _netloc(question: Question) -> str:
    """What the client asks its proxy for: the host of the URL, unless a Host header says otherwise."""
    return question.authority
