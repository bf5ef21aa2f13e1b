"""The HTTP server of the Kubernetes API: who may ask, and which module answers.

    /version, /api, /apis, /openapi/...        what there is
    /healthz, /livez, /readyz                  that it is there
    /api/v1/..., /apis/GROUP/VERSION/...       objects: `objects_api`, and `pod_logs` for a pod's log

Everything stands below a secret path; see `access`.
"""

from __future__ import annotations

from typing import Any

import structlog
from aiohttp import web

from minimesh.config.store import Store
from minimesh.kubernetes import api_errors, discovery
from minimesh.kubernetes.access import new_secret, refusal
from minimesh.kubernetes.answers import MAX_BODY_BYTES, answer, refused
from minimesh.kubernetes.api_errors import ApiError
from minimesh.kubernetes.bodies import read_object
from minimesh.kubernetes.controllers.service_addresses import ServiceAddresses
from minimesh.kubernetes.objects_api import ObjectsApi
from minimesh.kubernetes.pods.attach import serve_attach
from minimesh.kubernetes.pods.container_commands import ContainerCommands, NoCommands
from minimesh.kubernetes.pods.container_logs import ContainerLogs, NoLogs
from minimesh.kubernetes.pods.container_ports import ContainerPorts, NoPorts
from minimesh.kubernetes.pods.execute import serve_exec
from minimesh.kubernetes.pods.logs import ShownLines, serve_log
from minimesh.kubernetes.pods.port_forward import serve_port_forward
from minimesh.kubernetes.registry import Registry
from minimesh.kubernetes.request_info import request_info
from minimesh.kubernetes.resource_types import ResourceTypes
from minimesh.kubernetes.reviews import answered, is_review
from minimesh.kubernetes.schemas import openapi, openapi_v2
from minimesh.kubernetes.tokens import answered_request
from minimesh.kubernetes.watch import WatchCache

_log = structlog.get_logger(__name__)

VERSION = {
    "major": "1",
    "minor": "37",
    "gitVersion": "v1.37.0+minimesh",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "",
}
"""The version whose schemas and answers are served; kubectl warns when it is far from its own."""


class ApiServer:
    """One HTTP server on one loopback address, over one store."""

    def __init__(
        self,
        store: Store,
        logs: ContainerLogs | None = None,
        commands: ContainerCommands | None = None,
        *,
        secret: str = "",
        addresses: ServiceAddresses | None = None,
        ports: ContainerPorts | None = None,
    ) -> None:
        self._registry = Registry(store, addresses=addresses)
        self._watches = WatchCache(store)
        self._objects = ObjectsApi(self._registry, self._watches)
        self._logs = logs or NoLogs()
        self._shown_lines = ShownLines()
        self._commands = commands or NoCommands()
        self._ports = ports or NoPorts()
        self._secret = secret or new_secret()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._document: tuple[ResourceTypes, bytes] | None = None

    @property
    def port(self) -> int:
        """The port really bound, 0 while not listening."""
        return self._port

    @property
    def url(self) -> str:
        """What stands in the kubeconfig; who knows it may do everything."""
        return f"http://127.0.0.1:{self.port}/{self._secret}"

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes any free one. Raises OSError when the address cannot be had."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_route("*", "/{tail:.*}", self._serve)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1, auto_decompress=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = int(runner.addresses[0][1])

    async def stop(self) -> None:
        """End the watches, close connections and stop listening."""
        self._watches.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        reason = refusal(request.path, request.host, request.headers.get("Origin"), self._secret)
        if reason is not None:
            status = 404 if reason == "not found" else 403
            return web.Response(text=reason + "\n", status=status)
        parts = [each for each in request.path.split("/")[2:] if each]
        try:
            return await self._answer(request, parts)
        except ApiError as error:
            return refused(error)
        except web.HTTPRequestEntityTooLarge:
            return refused(api_errors.too_large(MAX_BODY_BYTES))
        except OSError as error:
            message = f"Internal error occurred: the state could not be written: {error}"
            return refused(ApiError(500, "InternalError", message))
        except Exception as error:
            # Our fault: kubectl says what it was, and the log where. Nothing else of the mesh is to suffer.
            _log.exception("request_failed", method=request.method, path="/".join(parts))
            message = f"Internal error occurred: {error!r}; the log of istiod says where"
            return refused(ApiError(500, "InternalError", message))

    async def _answer(self, request: web.Request, parts: list[str]) -> web.StreamResponse:
        types = self._registry.types
        if parts and parts[0] == "openapi":
            return self._openapi(parts[1:])
        if parts in (["healthz"], ["livez"], ["readyz"]):
            return web.Response(text="ok")
        about = self._discovered(request, parts)
        if about is not None:
            return answer(about, content_type=_discovery_type(request, parts))
        if len(parts) == 4 and is_review(*parts[1:]) and request.method == "POST":
            return answer(answered(await read_object(request), parts[3]), status=201)
        if not parts:
            raise api_errors.no_such_path()
        info = request_info(parts, types)
        if info.subresource == "token":
            asked, account = await read_object(request), self._registry.stored(info)
            return answer(answered_request(asked, account, self._registry.clock(), self._secret), status=201)
        if info.subresource == "log":
            return await serve_log(request, self._registry.get(info), self._logs, self._shown_lines)
        if info.subresource == "exec":
            return await serve_exec(request, self._registry.get(info), self._commands)
        if info.subresource == "portforward":
            return await serve_port_forward(request, self._registry.get(info), self._ports)
        if info.subresource == "attach":
            return await serve_attach(request, self._registry.get(info), self._logs, self._shown_lines)
        return await self._objects.serve(request, info)

    def _discovered(self, request: web.Request, parts: list[str]) -> dict[str, Any] | None:
        """What there is, when that is what the path asks for."""
        types = self._registry.types
        found: dict[str, Any] | None
        match parts:
            case ["version"]:
                return VERSION
            case ["api"] if _wants_aggregated(request):
                return discovery.aggregated(types, core=True)
            case ["apis"] if _wants_aggregated(request):
                return discovery.aggregated(types, core=False)
            case ["api"]:
                return discovery.core_versions(request.host)
            case ["apis"]:
                return discovery.group_list(types)
            case ["apis", group]:
                found = discovery.one_group(types, group)
            case ["api", version]:
                found = discovery.resource_list(types, "", version)
            case ["apis", group, version]:
                found = discovery.resource_list(types, group, version)
            case _:
                return None
        if found is None:
            raise api_errors.no_such_path()
        return found

    def _openapi_v2(self, types: ResourceTypes) -> bytes:
        """Kept until the types change: an older kubectl asks for each command."""
        if self._document is None or self._document[0] is not types:
            self._document = (types, openapi_v2.document(types, self._registry.schemas.custom))
        return self._document[1]

    def _openapi(self, parts: list[str]) -> web.StreamResponse:
        types = self._registry.types
        match parts:
            case ["v2"]:
                return web.Response(
                    body=self._openapi_v2(types), headers={"Content-Type": openapi_v2.MEDIA_TYPE}
                )
            case ["v3"]:
                return answer(openapi.index(types, f"/{self._secret}"))
            case ["v3", "api", version]:
                group = ""
            case ["v3", "apis", group, version]:
                pass
            case _:
                raise api_errors.no_such_path()
        found = openapi.document(types, group, version, self._registry.schemas.custom)
        if found is None:
            raise api_errors.no_such_path()
        return web.Response(body=found, content_type="application/json")


def _wants_aggregated(request: web.Request) -> bool:
    return "as=APIGroupDiscoveryList" in request.headers.get("Accept", "").replace(" ", "")


def _discovery_type(request: web.Request, parts: list[str]) -> str:
    aggregated = len(parts) == 1 and parts[0] in ("api", "apis") and _wants_aggregated(request)
    return discovery.AGGREGATED if aggregated else "application/json"
