"""The page's HTTP server: paths, their answers, and who may ask.

/SECRET/                    the page; /SECRET/static/... its parts
/SECRET/api/events          Server-Sent Events: hello, requests, share, proxies, mesh, load, labs
/SECRET/api/mesh            pods, services, splits, requests to try
/SECRET/api/log             requests that were told of before
/SECRET/api/request/ID      one of them: every hop, and why it went that way
/SECRET/api/glossary        the fields of the log line, flags and details in words
/SECRET/api/explain         POST a request: the ladder (`minimesh.explain.ladder`)
/SECRET/api/send            POST a request: it really goes
/SECRET/api/load            POST `start` or `stop`
/SECRET/api/documents       what is configured; PUT changes a stored document
/SECRET/api/files           PUT changes a file
/SECRET/api/proxies         how far each proxy has come
/SECRET/api/active          requests under way at each endpoint
/SECRET/api/endpoints       ?cluster=NAME: the pods behind a cluster, with their weights
/SECRET/api/labs            labs and progress; POST marks a step
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web

from minimesh import __version__
from minimesh.config.decimals import decimal
from minimesh.dashboard.access import PAGE_HEADER, knows_secret, refusal
from minimesh.dashboard.active_requests import active_requests
from minimesh.dashboard.documents import DocumentError, documents, save_document, save_file
from minimesh.dashboard.events import EventStream, Topics, share_of
from minimesh.dashboard.labs import Labs
from minimesh.dashboard.load import Load
from minimesh.dashboard.logged_requests import FIELDS, proxy_of, request_id_of, shown_entry
from minimesh.dashboard.mesh_summary import mesh_summary
from minimesh.dashboard.proxies import endpoints_of, knows_what_to_tell, shown_proxies, snapshots
from minimesh.dashboard.sending import Sender, outgoing, question_of
from minimesh.explain.explaining import explain
from minimesh.explain.flags import DETAILS, FLAGS
from minimesh.explain.past import at_gateway
from minimesh.explain.question import Question, QuestionError
from minimesh.explain.world import World

if TYPE_CHECKING:
    from minimesh.dashboard.mesh_view import MeshView

DEFAULT_PORT = 20001
STATIC = Path(__file__).parent / "static"
_BODY_LIMIT_BYTES = 1024 * 1024
#: Changes of the mesh that come together are told together.
_SETTLE_S = 0.1
_TELLING_LIMIT_S = 2.0
_SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",
}
_log = structlog.get_logger(__name__)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DashboardServer:
    """Serves one mesh on one loopback address, under a path that only its owner knows."""

    def __init__(self, mesh: MeshView, secret: str, progress: Path) -> None:
        """`progress`: the file that keeps which steps of labs are done."""
        self._mesh = mesh
        self._secret = secret
        self._topics = Topics()
        self._sender = Sender()
        self._load = Load(self._sender, lambda told: self._topics.tell("load", told))
        self._labs = Labs(progress)
        self._pods_by_ip: dict[str, str] = {}
        self._runner: web.AppRunner | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where the page is; empty while not listening."""
        if self._runner is None:
            return ""
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}/{self._secret}/"

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes any free one. Raises OSError when the address cannot be had."""
        application = web.Application(middlewares=[self._guard], client_max_size=_BODY_LIMIT_BYTES)
        application.add_routes(self._routes())
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self._following = asyncio.create_task(self._follow_mesh())
        self._mesh.control_plane.traffic_watch.listeners.append(self._check_labs)

    async def stop(self) -> None:
        """End everything, open event streams included."""
        self._load.stop()
        listeners = self._mesh.control_plane.traffic_watch.listeners
        if self._check_labs in listeners:
            listeners.remove(self._check_labs)
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            self._following = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        await self._sender.close()

    def _routes(self) -> list[web.RouteDef | web.StaticDef]:
        base, api = f"/{self._secret}", f"/{self._secret}/api"
        return [
            web.get(f"{base}/", self._page),
            web.static(f"{base}/static", STATIC),
            web.get(f"{api}/events", self._events),
            web.get(f"{api}/mesh", self._mesh_summary),
            web.get(f"{api}/log", self._log),
            web.get(f"{api}/request/{{id}}", self._request),
            web.get(f"{api}/glossary", self._glossary),
            web.post(f"{api}/explain", self._explain),
            web.post(f"{api}/send", self._send),
            web.post(f"{api}/load", self._start_or_stop_load),
            web.get(f"{api}/documents", self._documents),
            web.put(f"{api}/documents", self._save_document),
            web.put(f"{api}/files", self._save_file),
            web.get(f"{api}/proxies", self._proxies),
            web.get(f"{api}/active", self._active),
            web.get(f"{api}/endpoints", self._endpoints),
            web.get(f"{api}/labs", self._show_labs),
            web.post(f"{api}/labs", self._mark_step),
        ]

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        headers = request.headers
        refused = refusal(request.method, request.host, headers.get("Origin"), headers.get(PAGE_HEADER))
        if refused is not None:
            return _json({"error": refused}, status=403)
        if not knows_secret(request.path.split("/", 2)[1], self._secret):
            return _json({"error": "not found"}, status=404)
        try:
            response = await handler(request)
        except (QuestionError, DocumentError, BadRequestError) as error:
            return _json({"error": str(error)}, status=400)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception as error:
            _log.exception("dashboard", path=request.path.removeprefix(f"/{self._secret}"))
            return _json({"error": f"a fault of minimesh, told in its log: {error!r}"}, status=500)
        if not response.prepared:
            response.headers.update(_SECURITY_HEADERS)
        return response

    # --- what happens ---

    async def _follow_mesh(self) -> None:
        """Tell of proxies and of the mesh whenever the control plane did something."""
        plane = self._mesh.control_plane
        seen: tuple[int, str] = (-1, "")
        while True:
            pods = self._mesh.pods()
            self._pods_by_ip = {each["ip"]: f"{each['namespace']}/{each['name']}" for each in pods}
            self._topics.tell("proxies", shown_proxies(plane))
            states = [(each["name"], each["state"], each["ready"]) for each in pods]
            state = (plane.config.version, json.dumps(states))
            if state != seen:
                seen = state
                self._topics.tell("mesh", {"version": state[0]})
                if self._labs.update(plane.config.by_kind("ConfigMap")):
                    self._topics.tell("labs", self._labs.shown())
            await plane.changed()
            await asyncio.sleep(_SETTLE_S)

    def _check_labs(self, entry: Any) -> None:
        """Let the labs' checks see a request."""
        if self._labs.labs and self._labs.take(self._shown(entry)):
            self._topics.tell("labs", self._labs.shown())

    def _shown(self, entry: Any) -> dict[str, Any]:
        return shown_entry(entry, lambda address: self._pods_by_ip.get(address, ""))

    # --- answers ---

    async def _page(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        watch = self._mesh.control_plane.traffic_watch
        hello = {"version": __version__, "load": self._load.progress()}
        stream = EventStream(watch, self._topics, self._shown, self._proxies_tell)
        return await stream.serve(request, hello)

    async def _proxies_tell(self) -> None:
        """Wait until proxies know that somebody looks; not for long, since one of them may hang."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TELLING_LIMIT_S):
                while not knows_what_to_tell(self._mesh.control_plane):
                    await self._mesh.control_plane.changed()

    async def _mesh_summary(self, _: web.Request) -> web.Response:
        return _json(mesh_summary(self._mesh))

    async def _log(self, request: web.Request) -> web.Response:
        watch = self._mesh.control_plane.traffic_watch
        limit = _whole(request.query.get("limit", "200"))
        kept = list(watch.kept)[-limit:] if limit else []
        return _json({"entries": [self._shown(each) for each in kept], **share_of(watch.share)})

    async def _request(self, request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        watch = self._mesh.control_plane.traffic_watch
        hops = [self._shown(each) for each in watch.kept if request_id_of(each) == wanted]
        # The nearest to the client first: it began first, and of two at one moment the one that took longer.
        hops.sort(key=lambda each: (each["at"], -each["duration_ms"]))
        return _json({"entries": hops, "explanation": await self._explained(hops) if hops else None})

    async def _explained(self, hops: list[dict[str, Any]]) -> dict[str, Any] | None:
        """Why the request went its way, by the configuration that was in force."""
        first = hops[0]
        method, path, authority = first["method"], first["path"], first["authority"]
        with contextlib.suppress(QuestionError):
            if first["side"] == "gateway":
                told = first["fields"]
                name = told["REQUESTED_SERVER_NAME"].removeprefix("-")
                gateway = first["proxy"].rpartition("/")[2]
                address = told["DOWNSTREAM_LOCAL_ADDRESS"]
                question = at_gateway(method, path, authority, address, name, gateway)
            else:
                question = Question.parse(method, f"http://{authority}{path}", source=first["proxy"])
            return await self._ladder(question, first["at"])
        return None

    async def _glossary(self, _: web.Request) -> web.Response:
        fields = {
            name: {"operator": operator, "meaning": meaning} for name, (operator, meaning) in FIELDS.items()
        }
        return _json({"fields": fields, "flags": dict(FLAGS), "details": dict(DETAILS)})

    async def _explain(self, request: web.Request) -> web.Response:
        return _json(await self._ladder(question_of(await _body(request))))

    async def _ladder(self, question: Question, at: float | None = None) -> dict[str, Any]:
        told = self._mesh.control_plane.told_at(at) or self._mesh.control_plane.told_at(None)
        if told is None:
            raise BadRequestError("nothing could be translated yet")
        # Beside the loop: it translates and rehearses, which takes longer than an event may wait.
        return await asyncio.to_thread(lambda: explain(World.of_mesh(told), question).to_json())

    async def _send(self, request: web.Request) -> web.Response:
        wanted = await _body(request)
        going = outgoing(wanted, self._mesh.pods(), self._mesh.ingress)
        return _json({**await self._sender.send(going), "curl": question_of(wanted).curl})

    async def _start_or_stop_load(self, request: web.Request) -> web.Response:
        wanted = await _body(request)
        if wanted.get("stop"):
            self._load.stop()
            return _json(self._load.progress())
        start = wanted.get("start")
        if not isinstance(start, dict):
            raise BadRequestError("say start or stop")
        going = outgoing(start, self._mesh.pods(), self._mesh.ingress)
        try:
            rate_per_s, count = float(start.get("rate_per_s", 10)), int(start.get("count", 100))
            self._load.start(going, rate_per_s=rate_per_s, count=count)
        except (TypeError, ValueError, OverflowError) as error:
            raise BadRequestError(str(error)) from None
        return _json(self._load.progress())

    async def _documents(self, _: web.Request) -> web.Response:
        return _json(documents(self._mesh.control_plane))

    async def _save_document(self, request: web.Request) -> web.Response:
        wanted = await _body(request)
        key, text = _text(wanted, "resource"), _text(wanted, "text")
        return _json(await save_document(self._mesh.control_plane, key, text))

    async def _save_file(self, request: web.Request) -> web.Response:
        wanted = await _body(request)
        return _json(await save_file(self._mesh.control_plane, _text(wanted, "file"), _text(wanted, "text")))

    async def _proxies(self, _: web.Request) -> web.Response:
        return _json(shown_proxies(self._mesh.control_plane))

    async def _active(self, _: web.Request) -> web.Response:
        kept = self._mesh.control_plane.traffic_watch.kept
        callers = [proxy_of(each.node_id) for each in reversed(kept)]
        return _json({"pods": await active_requests(self._sender, callers, self._mesh.pods())})

    async def _endpoints(self, request: web.Request) -> web.Response:
        cluster = request.query.get("cluster", "")
        found = endpoints_of(snapshots(self._mesh.control_plane).values(), cluster)
        pods = [{"name": self._pods_by_ip.get(ip, ip), "weight": weight} for ip, weight in found]
        return _json({"pods": pods})

    async def _show_labs(self, _: web.Request) -> web.Response:
        return _json(self._labs.shown())

    async def _mark_step(self, request: web.Request) -> web.Response:
        wanted = await _body(request)
        try:
            self._labs.mark(_text(wanted, "lab"), _text(wanted, "step"), done=bool(wanted.get("done")))
        except KeyError as error:
            raise BadRequestError(f"there is no step {error.args[0]}") from None
        self._topics.tell("labs", self._labs.shown())
        return _json(self._labs.shown())


class BadRequestError(ValueError):
    """What the page asked for makes no sense; the text says why."""


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        found = await request.json()
    except (ValueError, RecursionError):
        raise BadRequestError("the body is not JSON") from None
    if not isinstance(found, dict):
        raise BadRequestError("the body must be a JSON object")
    return found


def _text(wanted: Mapping[str, Any], name: str) -> str:
    value = wanted.get(name)
    if not isinstance(value, str):
        raise BadRequestError(f"{name} must be a text")
    if not _is_utf8(value):
        raise BadRequestError(f"{name} has half a character, which no file can hold")
    return value


def _is_utf8(text: str) -> bool:
    """Whether UTF-8 can hold a text: JSON may spell one half of a pair of surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole(text: str) -> int:
    found = decimal(text)
    if found is None:
        raise BadRequestError(f"{text!r} is no number")
    return found


def _json(value: Any, status: int = 200) -> web.Response:
    return web.json_response(value, status=status)
