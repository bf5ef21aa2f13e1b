"""`minimesh`: the group of all commands. Imports a command's module only when that command is asked for."""

from __future__ import annotations

from importlib import import_module

import click

import minimesh

# Command -> (module, one line for `--help`); the module has a click command of the command's name.
_COMMANDS = {
    "up": ("up", "Start the mesh over files and folders of YAML, and show its access log."),
    "down": ("down", "Stop the mesh that runs."),
    "status": ("status", "Show pods, proxies, what they were pushed, and configuration errors."),
    "validate": ("validate", "Check YAML files without a mesh."),
    "analyze": ("analyze", "Analyze YAML files as istioctl does, without a mesh."),
    "test": ("route_test", "Try files of route expectations, without a mesh."),
    "dashboard": ("dashboard", "Open the page that shows the mesh: requests, configuration, pushes."),
    "explain": ("explain", "Explain what becomes of a request: every decision on its way, and its cause."),
    "logs": ("logs", "Show the log of a pod's container."),
    "exec": ("execute", "Run a command in a pod's environment."),
    "istioctl": ("istioctl", "Istio's own commands: proxy-config, proxy-status, analyze and more."),
    "kubectl": ("kubectl", "Run the real kubectl against the mesh that runs."),
    "minikube": ("minikube", "What labs ask of minikube: the cluster's address, URLs of Services."),
    "shell": ("shell", "Open a shell in which kubectl and istioctl talk to the mesh that runs."),
    "config-dump": ("config_dump", "Show the configuration of a pod's proxy, as Envoy's admin API does."),
    "bootstrap": ("bootstrap", "Print the bootstrap with which a real Envoy joins, or takes a dump along."),
    "proxy": ("proxy", "Run one proxy: a hand-written Envoy file, or what a control plane sends."),
    "control-plane": ("control_plane", "Run the control plane alone, for proxies in containers."),
    "pod": ("pod", "Run one pod in this container: an application and its sidecar."),
}


class _LazyGroup(click.Group):
    """Knows its commands by name; loads one when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"minimesh.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"), None) or module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(minimesh.__version__, prog_name="minimesh")
def main() -> None:
    """A service mesh that fits on a laptop: Istio YAML in, routed traffic out."""
