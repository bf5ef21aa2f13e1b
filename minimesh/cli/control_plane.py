"""`minimesh control-plane`: the control plane alone, for proxies that run elsewhere (in containers)."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import ssl

import click

from minimesh.cli.console import DiagnosticsConsole, say
from minimesh.cli.paths import refuse_missing
from minimesh.cli.refusal import Refusal
from minimesh.config.decimals import decimal
from minimesh.event_loop import loop_factory


@click.command()
@click.option(
    "--config", "paths", multiple=True, metavar="PATH", help="A file or folder of YAML; repeatable."
)
@click.option("--mesh-config", metavar="FILE", help="Settings of the mesh: Istio's MeshConfig.")
@click.option("--listen", default="127.0.0.1:15010", show_default=True, metavar="HOST:PORT", help="ADS.")
@click.option(
    "--debug", default="127.0.0.1:15014", show_default=True, metavar="HOST:PORT", help="The debug API."
)
@click.option("--tls-cert", metavar="FILE", help="Speak TLS on the ADS port, with this certificate.")
@click.option("--tls-key", metavar="FILE", help="Its private key.")
@click.option("--tls-client-ca", metavar="FILE", help="Only proxies with a certificate of these authorities.")
def control_plane(
    paths: tuple[str, ...],
    mesh_config: str | None,
    listen: str,
    debug: str,
    tls_cert: str | None,
    tls_key: str | None,
    tls_client_ca: str | None,
) -> None:
    """Serve configuration to proxies; each that connects and asks for it becomes an endpoint."""
    from minimesh.config.store import Store
    from minimesh.control_plane.discovery.debounce import Debounce
    from minimesh.control_plane.server import ControlPlane
    from minimesh.logs import configure
    from minimesh.platform.defaults import default_resources

    refuse_missing((*paths, *((mesh_config,) if mesh_config is not None else ())))
    configure("info")
    ads_host, ads_port = split_address(listen, "--listen")
    debug_host, debug_port = split_address(debug, "--debug")
    tls = _tls_context(tls_cert, tls_key, tls_client_ca)
    store = Store()
    for resource in default_resources():
        store.put(resource)

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        server = ControlPlane(
            store,
            ads_host=ads_host,
            ads_port=ads_port,
            ads_tls=tls,
            debug_host=debug_host,
            debug_port=debug_port,
            config_paths=paths,
            mesh_config=mesh_config,
            on_diagnostics=DiagnosticsConsole().show,
            debounce=Debounce.of_environment(os.environ),
        )
        await server.start()
        # What was read lasts; to look through it costs the garbage collector half a second with 5,000 pods.
        gc.collect()
        gc.freeze()
        say(f"control plane at {ads_host}:{server.ads_port}, debug API at {debug_host}:{server.debug_port}")
        await stop.wait()
        await server.stop()

    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(run())
    except OSError as error:
        raise Refusal(f"cannot listen on {listen} or {debug}: {error.strerror or error}") from error


def _tls_context(cert: str | None, key: str | None, client_ca: str | None) -> ssl.SSLContext | None:
    """What the ADS port speaks; None for plain text."""
    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None:
        raise Refusal("TLS takes both --tls-cert and --tls-key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    try:
        context.load_cert_chain(cert, key)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # ssl.SSLError is one
        raise Refusal(f"the certificates cannot be used: {error.strerror or error}") from error
    return context


def split_address(text: str, option: str) -> tuple[str, int]:
    """`HOST:PORT` in its parts."""
    host, _, written = text.rpartition(":")
    port = decimal(written)
    if not host or port is None or port > 65535:
        raise Refusal(f"{option} {text!r} is not HOST:PORT")
    return host, port
