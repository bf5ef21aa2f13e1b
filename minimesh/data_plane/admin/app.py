"""The commands of the admin API: which path answers what, with which status.

Handlers are plain functions of the query that return text or JSON; nothing here waits, and nothing here
knows how a request came in (`server` does).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from minimesh.data_plane.admin import status_dumps
from minimesh.data_plane.admin.config_dump import DumpNotFoundError, config_dump
from minimesh.data_plane.admin.server_state import ServerState
from minimesh.data_plane.admin.view import AdminView
from minimesh.data_plane.routing.regex import Regex, RegexError
from minimesh.data_plane.telemetry import stats_text
from minimesh.data_plane.telemetry.stats import Counter, Gauge, Histogram, Metric

TEXT = "text/plain; charset=UTF-8"
JSON = "application/json"
HTML = "text/html; charset=UTF-8"
_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "off": logging.CRITICAL + 10,
}
#: Our loggers are `minimesh.<name>`.
_LOGGERS = ("admin", "config", "main")
_STAT_TYPES: dict[str, type[Metric]] = {"counters": Counter, "gauges": Gauge, "histograms": Histogram}


class Process(Protocol):
    """What the admin API may do to the process."""

    def stop(self) -> None: ...

    def reopen_logs(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """One response."""

    body: str
    status: int = 200
    content_type: str = TEXT


@dataclass(frozen=True, slots=True)
class Command:
    """One path. `parameters` are for /help: name and meaning."""

    path: str
    help: str
    handle: Callable[[Mapping[str, str]], Answer]
    post: bool = False
    parameters: tuple[tuple[str, str], ...] = ()


class RefusedRequestError(ValueError):
    """A query that makes no sense; `str()` is the body of the 400."""


def commands_of(bootstrap: Any, view: AdminView, process: Process) -> dict[str, Command]:
    """Every command by its path."""
    return {command.path: command for command in _Commands(bootstrap, view, process).all()}


def answer(commands: Mapping[str, Command], method: str, path: str, query: Mapping[str, str]) -> Answer:
    """What a request is told; never an exception for what a client can ask."""
    command = commands.get(path)
    if command is None:
        return Answer(f"invalid path. {_help(commands)}", 404)
    if command.post and method != "POST":
        return Answer(f"Method {method} not allowed, POST required.", 405)
    try:
        return command.handle(query)
    except RefusedRequestError as error:
        return Answer(str(error), 400)
    except DumpNotFoundError as error:
        return Answer(str(error), 404)


def _help(commands: Mapping[str, Command]) -> str:
    lines = ["admin commands are:"]
    for path, command in sorted(commands.items()):
        lines.append(f"  {path}{' (POST)' if command.post else ''}: {command.help}")
        lines += [f"      {name}: {meaning}" for name, meaning in command.parameters]
    return "\n".join(lines) + "\n"


def _json(value: Any) -> Answer:
    return Answer(json.dumps(value, indent=1, ensure_ascii=False) + "\n", content_type=JSON)


def _is_set(query: Mapping[str, str], name: str) -> bool:
    """Whether a flag is there: `?usedonly` and `?usedonly=true` are."""
    return query.get(name, "false").lower() not in ("false", "0")


def _name_filter(query: Mapping[str, str], parameter: str) -> Callable[[str], bool] | None:
    """What a parameter's pattern says of names; None without one. RE2's, as no other stays fast for any."""
    pattern = query.get(parameter, "")
    if not pattern:
        return None
    try:
        regex = Regex(pattern)
    except RegexError as error:
        raise RefusedRequestError(f"Invalid regex: {error}") from None
    if not regex.may_search:
        raise RefusedRequestError(f"Invalid regex: {pattern}: begin it with ^, or install google-re2")
    return regex.finds


def _every_name(_: str) -> bool:
    return True


_RUNTIME_USAGE = (
    "usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n"
    "or send the parameters as form values\n"
    "use an empty value to remove a previously added override"
)
_FILTER = ("filter", "Regular expression for filtering by name")
_FORMAT = ("format", "File format to use; One of (text, json)")


class _Commands:
    """The handlers."""

    def __init__(self, bootstrap: Any, view: AdminView, process: Process) -> None:
        self.bootstrap = bootstrap
        self.view = view
        self.configuration = view.configuration
        self.state = view.state
        self.process = process

    def all(self) -> list[Command]:
        return [*self._views(), *self._actions()]

    def _views(self) -> list[Command]:
        stat_parameters = (("usedonly", "Only include stats that have been written since the start"), _FILTER)
        return [
            Command("/", "Admin home page", self.home),
            Command("/help", "print out list of admin commands", self.help),
            Command("/certs", "print certs on machine", self.certs),
            Command("/clusters", "upstream cluster status", self.clusters, parameters=(_FILTER, _FORMAT)),
            Command(
                "/config_dump",
                "dump current Envoy configs",
                self.config_dump,
                parameters=(
                    ("resource", "The resource to dump"),
                    ("mask", "The fields to show, of the dump or of each resource"),
                    ("name_regex", "Only resources whose names match"),
                    ("include_eds", "Include endpoints"),
                ),
            ),
            Command("/healthz/ready", "readiness of the pod, for its kubelet", self.pod_ready),
            Command("/listeners", "print listener info", self.listeners, parameters=(_FORMAT,)),
            Command("/memory", "print current memory usage", self.memory),
            Command("/ready", "print server state, return 200 if LIVE, otherwise return 503", self.ready),
            Command("/runtime", "print runtime values", self.runtime),
            Command("/server_info", "print server version/status information", self.server_info),
            Command(
                "/stats",
                "print server stats",
                self.stats,
                parameters=(
                    *stat_parameters,
                    ("format", "Format to use; One of (text, json, prometheus)"),
                    ("type", "Stat types to include; One of (All, Counters, Histograms, Gauges)"),
                ),
            ),
            Command(
                "/stats/prometheus",
                "print server stats in prometheus format",
                self.prometheus,
                parameters=stat_parameters,
            ),
        ]

    def _actions(self) -> list[Command]:
        levels = ("level", f"of all loggers; One of ({', '.join(_LEVELS)})")
        return [
            Command(
                "/drain_listeners",
                "drain listeners",
                self.drain_listeners,
                post=True,
                parameters=(("inboundonly", "Only listeners for traffic from outside"),),
            ),
            Command(
                "/healthcheck/fail",
                "cause the server to fail health checks",
                self.health_check_fail,
                post=True,
            ),
            Command(
                "/healthcheck/ok",
                "cause the server to pass health checks",
                self.health_check_ok,
                post=True,
            ),
            Command("/logging", "query/change logging levels", self.logging, post=True, parameters=(levels,)),
            Command("/quitquitquit", "exit the server", self.quit, post=True),
            Command("/reopen_logs", "reopen access logs", self.reopen_logs, post=True),
            Command("/reset_counters", "reset all counters to zero", self.reset_counters, post=True),
            Command(
                "/runtime_modify",
                "Adds or modifies runtime values as passed in query parameters. "
                "Use an empty value to remove a previously added override.",
                self.runtime_modify,
                post=True,
            ),
        ]

    # --- views ---

    def home(self, query: Mapping[str, str]) -> Answer:
        from html import escape  # seldom needed, and with it come all entities of HTML

        rows = "".join(
            f"<tr><td>{_home_entry(command, escape(command.path))}</td><td>{escape(command.help)}</td></tr>\n"
            for command in sorted(self.all(), key=lambda command: command.path)
        )
        style = "body{font-family:sans-serif} td{padding:4px} form{margin:0}"
        return Answer(
            f"<!DOCTYPE html>\n<html lang='en'><head><title>Envoy Admin</title>"
            f"<style>{style}</style></head>\n<body><table>\n<tr><th>Command</th><th>Description</th></tr>\n{rows}</table></body></html>\n",
            content_type=HTML,
        )

    def help(self, query: Mapping[str, str]) -> Answer:
        return Answer(_help({command.path: command for command in self.all()}))

    def certs(self, query: Mapping[str, str]) -> Answer:
        return _json({"certificates": []})

    def clusters(self, query: Mapping[str, str]) -> Answer:
        wanted = _name_filter(query, "filter") or _every_name
        if query.get("format") == "json":
            return _json(status_dumps.clusters_json(self.configuration, wanted, self.view.host_state))
        return Answer(status_dumps.clusters_text(self.configuration, wanted, self.view.host_state))

    def config_dump(self, query: Mapping[str, str]) -> Answer:
        return _json(
            config_dump(
                self.bootstrap,
                self.configuration,
                include_eds=_is_set(query, "include_eds"),
                resource=query.get("resource", ""),
                mask=query.get("mask", ""),
                wanted=_name_filter(query, "name_regex") or _every_name,
                pages=self.view.pages,
            )
        )

    def listeners(self, query: Mapping[str, str]) -> Answer:
        if query.get("format") == "json":
            return _json(status_dumps.listeners_json(self.configuration))
        return Answer(status_dumps.listeners_text(self.configuration))

    def memory(self, query: Mapping[str, str]) -> Answer:
        return _json(status_dumps.memory())

    def ready(self, query: Mapping[str, str]) -> Answer:
        state = self.state.reported
        return Answer(f"{state.name}\n", 200 if state is ServerState.LIVE else 503)

    def pod_ready(self, query: Mapping[str, str]) -> Answer:
        """As Istio's agent answers a kubelet: the status says all."""
        return Answer("", self.ready(query).status)

    def server_info(self, query: Mapping[str, str]) -> Answer:
        return _json(status_dumps.server_info(self.bootstrap, self.state, self.view.concurrency))

    def stats(self, query: Mapping[str, str]) -> Answer:
        wanted = self._wanted_stats(query)
        store = self.view.stats
        match query.get("format", "text"):
            case "text" | "":
                return Answer(stats_text.render_text(store, wanted))
            case "json":
                return Answer(json.dumps(stats_text.render_json(store, wanted)), content_type=JSON)
            case "prometheus":
                return self.prometheus(query)
            case _:
                raise RefusedRequestError("usage: /stats?format=(json|prometheus|text)\n\n")

    def prometheus(self, query: Mapping[str, str]) -> Answer:
        self._refresh()
        return Answer(stats_text.render_prometheus(self.view.stats, self._wanted_stats(query)))

    def _wanted_stats(self, query: Mapping[str, str]) -> stats_text.Wanted:
        self._refresh()
        by_name = stats_text.chosen(_name_filter(query, "filter"), used_only=_is_set(query, "usedonly"))
        kind = query.get("type", "All").lower()
        if kind == "all":
            return by_name
        cls = _STAT_TYPES.get(kind)
        if cls is None:
            raise RefusedRequestError("usage: /stats?type=(All|Counters|Gauges|Histograms)\n\n")
        return lambda metric: isinstance(metric, cls) and by_name(metric)

    def _refresh(self) -> None:
        """Gauges that are cheaper to work out when asked than to keep."""
        stats, configuration = self.view.stats, self.configuration
        stats.gauge("server.uptime").set(self.state.uptime_s)
        stats.gauge("server.state").set(self.state.reported.value)
        stats.gauge("server.live").set(int(self.state.reported is ServerState.LIVE))
        stats.gauge("server.concurrency").set(self.view.concurrency)
        stats.gauge("server.total_connections").set(self.view.open_connections)
        warming = sum(not live.warm for live in configuration.clusters.values())
        stats.gauge("cluster_manager.warming_clusters").set(warming)
        stats.gauge("cluster_manager.active_clusters").set(len(configuration.clusters) - warming)
        active = sum(live.listener is not None for live in configuration.listeners.values())
        stats.gauge("listener_manager.total_listeners_active").set(active)
        waiting = sum(live.warming is not None for live in configuration.listeners.values())
        stats.gauge("listener_manager.total_listeners_warming").set(waiting)

    def runtime(self, query: Mapping[str, str]) -> Answer:
        return _json(status_dumps.runtime(self.configuration.context.runtime))

    # --- actions ---

    def drain_listeners(self, query: Mapping[str, str]) -> Answer:
        self.configuration.drain_listeners(inbound_only=_is_set(query, "inboundonly"))
        return Answer("OK\n")

    def health_check_fail(self, query: Mapping[str, str]) -> Answer:
        self.state.healthy = False
        return Answer("OK\n")

    def health_check_ok(self, query: Mapping[str, str]) -> Answer:
        self.state.healthy = True
        return Answer("OK\n")

    def runtime_modify(self, query: Mapping[str, str]) -> Answer:
        if not query:
            return Answer(_RUNTIME_USAGE, 400)
        runtime = self.configuration.context.runtime
        layer = runtime.admin_layer
        if layer is None:
            return Answer("No admin layer specified", 503)
        runtime.set_layer(layer.name, {key: text for key, text in {**layer.values, **query}.items() if text})
        return Answer("OK\n")

    def logging(self, query: Mapping[str, str]) -> Answer:
        for name, level in query.items():
            if name == "level":
                wanted = dict.fromkeys(_LOGGERS, level)
            elif name == "paths":
                wanted = dict(pair.partition(":")[::2] for pair in level.split(",") if pair)
            else:
                wanted = {name: level}
            _set_levels(wanted)
        return Answer(_active_loggers())

    def quit(self, query: Mapping[str, str]) -> Answer:
        self.process.stop()
        return Answer("OK\n")

    def reopen_logs(self, query: Mapping[str, str]) -> Answer:
        self.process.reopen_logs()
        return Answer("OK\n")

    def reset_counters(self, query: Mapping[str, str]) -> Answer:
        self.configuration.stats.reset_counters()
        return Answer("OK\n")


def _home_entry(command: Command, path: str) -> str:
    if not command.post:
        return f"<a href='{path.lstrip('/') or '.'}'>{path}</a>"
    return f"<form action='{path.lstrip('/')}' method='post'><button>{path}</button></form>"


def _set_levels(wanted: Mapping[str, str]) -> None:
    for name, level in wanted.items():
        if level not in _LEVELS:
            raise RefusedRequestError(_logging_usage("unknown logger level"))
        if name not in _LOGGERS:
            raise RefusedRequestError(_logging_usage("unknown logger name"))
    for name, level in wanted.items():
        logging.getLogger(f"minimesh.{name}").setLevel(_LEVELS[level])


def _logging_usage(error: str) -> str:
    return (
        f"error: {error}\n\n"
        "usage: /logging?<name>=<level> (change single level)\n"
        "usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)\n"
        "usage: /logging?level=<level> (change all levels)\n"
        f"levels: {' '.join(_LEVELS)}\n{_active_loggers()}"
    )


def _active_loggers() -> str:
    names = {number: name for name, number in _LEVELS.items()}
    lines = [
        f"  {name}: {names.get(logging.getLogger(f'minimesh.{name}').getEffectiveLevel(), 'info')}"
        for name in _LOGGERS
    ]
    return "\n".join(["active loggers:", *lines]) + "\n\n"
