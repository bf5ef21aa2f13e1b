"""The control plane's window for operators: JSON over HTTP, reading only.

Owns paths and their answers; knows the rest of the control plane through `DebugView`. It shows the whole
configuration, so it is bound to loopback, and a request must name a loopback host: otherwise a web page could
have its own name resolve to 127.0.0.1 and read everything through its visitor's browser. What Secrets hold is
shown to nobody, but in a snapshot to those who know the secret of this run.

    /ready                      200 once proxies can be served
    /debug/status               proxies, diagnostics, files; what `minimesh status` prints
    /debug/syncz                nonces sent and acknowledged, as istiod's page of that name
    /debug/config_dump?proxy=   what one proxy is meant to have, as Envoy's /config_dump
    /debug/registryz            services
    /debug/endpointz            endpoints of each service port
    /debug/configz              the resources in force, as they were written
    /debug/snapshot?at=         all that was in force at a moment (seconds since the epoch), for `explain`
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

from minimesh.control_plane.discovery.status import config_dump, sync_status
from minimesh.loopback import is_loopback_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minimesh.config.store import Snapshot
    from minimesh.control_plane.discovery.pusher import Connection
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.service_registry.services import Service

_VALUES = ("data", "stringData")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DebugView(Protocol):
    """What the API reads of the control plane."""

    def status(self) -> Mapping[str, Any]: ...
    @property
    def connections(self) -> Sequence[Connection]: ...
    @property
    def push_context(self) -> PushContext | None: ...
    @property
    def config(self) -> Snapshot: ...
    def told_at(self, moment: float | None) -> Mapping[str, Any] | None: ...


class DebugApi:
    """One HTTP server on one loopback address."""

    def __init__(self, view: DebugView, secret: str = "") -> None:
        """`secret`: what a request must bear to be told of Secrets; nobody is without one."""
        self._view = view
        self._secret = secret
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port really bound, 0 while not listening."""
        return int(self._runner.addresses[0][1]) if self._runner is not None else 0

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes any free one. Raises OSError when the address cannot be had."""
        application = web.Application(middlewares=[_only_loopback_names])
        application.add_routes(
            [
                web.get("/ready", self._ready),
                web.get("/debug/status", self._status),
                web.get("/debug/syncz", self._syncz),
                web.get("/debug/config_dump", self._config_dump),
                web.get("/debug/registryz", self._registryz),
                web.get("/debug/endpointz", self._endpointz),
                web.get("/debug/configz", self._configz),
                web.get("/debug/snapshot", self._snapshot),
            ]
        )
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner

    async def stop(self) -> None:
        """Close connections and stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _ready(self, _: web.Request) -> web.Response:
        if self._view.push_context is None:
            return _json({"ready": False, "reason": "nothing could be translated yet"}, status=503)
        return _json({"ready": True})

    async def _status(self, _: web.Request) -> web.Response:
        return _json(self._view.status())

    async def _syncz(self, _: web.Request) -> web.Response:
        return _json([sync_status(each, each.proxy) for each in self._view.connections if each.proxy])

    async def _config_dump(self, request: web.Request) -> web.Response:
        wanted = request.query.get("proxy", "")
        for connection in self._view.connections:
            proxy = connection.proxy
            if proxy is None or wanted not in (proxy.id, proxy.name, f"{proxy.name}.{proxy.namespace}"):
                continue
            if connection.delivery.wanted is None:
                return _json({"error": f"nothing was translated for {wanted} yet"}, status=503)
            return _json(config_dump(connection.delivery.wanted))
        known = [each.proxy.id for each in self._view.connections if each.proxy]
        return _json({"error": f"no proxy {wanted!r} is connected", "proxies": known}, status=404)

    async def _registryz(self, _: web.Request) -> web.Response:
        return _json([_service(each) for each in self._services()])

    async def _endpointz(self, _: web.Request) -> web.Response:
        return _json(list(self._endpoints()))

    async def _configz(self, _: web.Request) -> web.Response:
        return _json([_without_values(resource.raw) for resource in self._view.config.resources])

    async def _snapshot(self, request: web.Request) -> web.Response:
        try:
            moment = float(request.query["at"]) if "at" in request.query else None
        except ValueError:
            return _json({"error": "at is no number of seconds"}, status=400)
        found = self._view.told_at(moment)
        if found is None:
            return _json({"error": "what was in force then is forgotten"}, status=404)
        if self._secret and hmac.compare_digest(_bearer_of(request).encode(), self._secret.encode()):
            return _json(found)
        shown = [
            {
                **each,
                "document": _without_values(each["document"]),
                "written": _without_values(each["written"]),
            }
            for each in found["resources"]
        ]
        return _json({**found, "resources": shown})

    def _services(self) -> Sequence[Service]:
        context = self._view.push_context
        return context.registry.services if context is not None else ()

    def _endpoints(self) -> Iterator[dict[str, Any]]:
        context = self._view.push_context
        if context is None:
            return
        for service in self._services():
            for port in service.ports:
                found = context.registry.endpoints(service, port)
                yield {
                    "service": service.hostname,
                    "namespace": service.namespace,
                    "port": port.port,
                    "port_name": port.name,
                    "endpoints": [
                        {
                            "address": each.address,
                            "port": each.port,
                            "workload": each.workload,
                            "labels": dict(each.labels),
                        }
                        for each in found
                    ],
                }


def _bearer_of(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def _without_values(document: Any) -> Any:
    """A Secret with its names but not its values, which what was last applied would tell too."""
    if not isinstance(document, Mapping) or document.get("kind") != "Secret":
        return document
    hidden = {name: dict.fromkeys(document[name] or (), "") for name in _VALUES if name in document}
    metadata = {key: value for key, value in (document.get("metadata") or {}).items() if key != "annotations"}
    return {**document, **hidden, "metadata": metadata}


@web.middleware
async def _only_loopback_names(request: web.Request, handler: _Handler) -> web.StreamResponse:
    if not is_loopback_name(request.host):
        return _json({"error": "ask for this page as localhost or 127.0.0.1"}, status=403)
    return await handler(request)


def _service(service: Service) -> dict[str, Any]:
    return {
        "hostname": service.hostname,
        "namespace": service.namespace,
        "addresses": list(service.addresses),
        "resolution": service.resolution,
        "selector": dict(service.selector),
        "ports": [
            {"name": each.name, "port": each.port, "protocol": each.protocol, "target_port": each.target_port}
            for each in service.ports
        ],
    }


def _json(value: Any, status: int = 200) -> web.Response:
    text = json.dumps(value, indent=2, default=str) + "\n"
    return web.Response(text=text, status=status, content_type="application/json")
