"""`minimesh up`: checks, forks the pod parent, then runs the mesh in this process or in one of its own."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import click

from minimesh.cli.console import say
from minimesh.cli.invocation import invocation
from minimesh.cli.paths import refuse_missing
from minimesh.cli.refusal import Refusal, os_refusal
from minimesh.platform.engine import ENGINE_NAMES, Engine, EngineMissingError
from minimesh.platform.images import ImageTable, ImageTableError
from minimesh.platform.pod_network import can_bind
from minimesh.platform.pod_parent import PodParentHandle, fork_pod_parent
from minimesh.platform.state import MeshRunsError, StateFolder

_READY = b"ready"
LOCALHOST = "127.0.0.1"


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH...]")
@click.option("-d", "--detach", is_flag=True, help="Return when the mesh is ready; `minimesh down` stops it.")
@click.option("--ingress-port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.option("--images", type=click.Path(path_type=Path), help="More images: a file like images.yaml.")
@click.option(
    "--network",
    type=click.Choice(["auto", "addresses", "mapped"]),
    default="auto",
    help="An address for each pod, or mapped ports on 127.0.0.1; auto chooses what this machine has.",
)
@click.option("--mesh-config", metavar="FILE", help="Settings of the mesh: Istio's MeshConfig.")
@click.option(
    "--engine",
    type=click.Choice(ENGINE_NAMES),
    default="asyncio",
    show_default=True,
    help="What the proxies are: minimesh's own, or the real Envoy (in all pods, in gateways, in sidecars).",
)
def up(
    paths: tuple[str, ...],
    detach: bool,
    ingress_port: int,
    images: Path | None,
    network: str,
    mesh_config: str | None,
    engine: str,
) -> None:
    """Start the mesh over files and folders of YAML, and show its access log until Ctrl-C.

    Without any, it has the control plane and the ingress gateway, and what kubectl has stored in it.
    """
    refuse_missing((*paths, *((mesh_config,) if mesh_config is not None else ())))
    state = StateFolder.default()
    try:
        table = ImageTable.load(images)
        proxies = Engine.named(engine)
        state.acquire()
    except ImageTableError as error:
        raise Refusal(str(error)) from error
    except EngineMissingError as error:
        raise Refusal(str(error), "Install it: pip install 'minimesh[envoy]'") from error
    except MeshRunsError as error:
        process = f" (process {error.pid})" if error.pid else ""
        raise Refusal(f"a mesh runs already{process}", f"Stop it first: {invocation('down')}") from error
    except OSError as error:
        raise os_refusal(f"cannot use the state folder {state.path}", error) from error
    if not can_bind(LOCALHOST, ingress_port):
        state.release()
        other = "Stop what uses it, or choose another one: --ingress-port 8081 (make up PORT=8081)"
        raise Refusal(f"port {ingress_port} of localhost is in use, or may not be opened", other)
    run = _Run(paths, ingress_port, network, table, state, proxies, mesh_config)
    if detach:
        _detached(run)
    else:
        run(on_ready=lambda: None)


class _Run:
    """Everything after the checks, in whichever process it is to happen."""

    def __init__(
        self,
        paths: tuple[str, ...],
        ingress_port: int,
        network: str,
        images: ImageTable,
        state: StateFolder,
        engine: Engine,
        mesh_config: str | None,
    ) -> None:
        self._paths = paths
        self._ingress_port = ingress_port
        self._network = network
        self._images = images
        self._state = state
        self._engine = engine
        self._mesh_config = mesh_config

    def __call__(
        self, on_ready: Callable[[], None], *, detached: bool = False, close_in_pods: tuple[int, ...] = ()
    ) -> None:
        try:
            self._run(on_ready, detached, close_in_pods)
        except BrokenPipeError:
            raise  # whoever read the console has gone
        except OSError as error:
            raise os_refusal("the mesh cannot run", error) from error
        finally:
            self._state.release()

    def _run(self, on_ready: Callable[[], None], detached: bool, close_in_pods: tuple[int, ...]) -> None:
        parent = self._fork_pod_parent(close_in_pods)
        try:
            # Imported while the pod parent imports what pods need, on another core.
            from minimesh.cli.mesh import Mesh, MeshOptions, run_mesh
            from minimesh.logs import configure

            configure("warning", file=self._state.control_plane_log)
            gc.freeze()
            options = MeshOptions(
                self._paths,
                self._ingress_port,
                self._network,
                self._images,
                detached,
                self._engine,
                self._mesh_config,
            )
            signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            run_mesh(lambda: Mesh(options, parent, self._state), signals, on_ready)
            say("stopped")
        finally:
            # Closing the channel ends the pod parent, and with it whatever a failed start left behind.
            parent.channel.close()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(parent.pid, 0)

    def _fork_pod_parent(self, close_in_pods: tuple[int, ...]) -> PodParentHandle:
        from minimesh.cli.entry_points import entry_points, preload

        lock = self._state.lock_descriptor
        log = self._state.log_path("minimesh", "up", "pod-parent")
        return fork_pod_parent(
            entry_points(),
            preload=preload,
            log_path=str(log),
            close_descriptors=(*close_in_pods, *((lock,) if lock is not None else ())),
        )


def _detached(run: _Run) -> None:
    """Run the mesh in a background process; this one shows its progress, and ends when it is ready.

    A failed start is the exit status of this process, its reason is on this terminal.
    """
    console_reader, console_writer = os.pipe()
    ready_reader, ready_writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(console_reader)
        os.close(ready_reader)
        _background(run, console_writer, ready_writer)
    os.close(console_writer)
    os.close(ready_writer)
    with os.fdopen(console_reader, "r", errors="replace") as console:
        for line in console:
            try:
                click.echo(line, nl=False)
            except BrokenPipeError:
                # Whoever read this has read enough; the mesh goes on.
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with os.fdopen(ready_reader, "rb") as ready:
        if ready.read() == _READY:
            say(f"runs in the background as process {pid}; stop it with: {invocation('down')}")
            return
    _, status = os.waitpid(pid, 0)
    sys.exit(os.waitstatus_to_exitcode(status) or 1)


def _background(run: _Run, console_writer: int, ready_writer: int) -> None:
    """The background process: says what it has to on the pipe until it is ready, then nothing."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(console_writer, 1)
    os.dup2(console_writer, 2)
    os.close(console_writer)

    def on_ready() -> None:
        sys.stdout.flush()
        os.write(ready_writer, _READY)
        os.close(ready_writer)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)

    code = 1
    try:
        run(on_ready, detached=True, close_in_pods=(ready_writer,))
        code = 0
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except Exception:
        # `os._exit` would say nothing.
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
