"""What `istioctl install` is asked for: an IstioOperator, by files and by `--set`.

Members of lists are kept by their places until all is said, for `--set` may name one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from minimesh.cli.istioctl.manifest import ACCESS_LOG_SETTINGS, PROFILES
from minimesh.config.diagnostics import has_errors
from minimesh.config.mesh_config import decode_mesh_config

Settings = dict[str, Any]
_STEP = re.compile(r"(?P<name>[^.\[\]]+)(?:\[(?P<index>\d+)\])?(?:\.|$)")
_GATEWAYS = {
    "ingressGateways": ("ingress", "istio-ingressgateway"),
    "egressGateways": ("egress", "istio-egressgateway"),
}
#: What texts about the Gateway API set first: its experimental kinds are on anyhow.
_ALWAYS_ON = ("values", "pilot", "env", "PILOT_ENABLE_ALPHA_GATEWAY_API")


@dataclass(frozen=True, slots=True)
class Installation:
    """The profile, the components that it comes to, and the mesh's settings."""

    profile: str
    components: tuple[str, ...]
    mesh_config: Settings


def installation(files: Sequence[str], settings: Sequence[str]) -> Installation:
    """What files say, and `PATH=VALUE` after them. ClickException for what minimesh does not have."""
    asked: Settings = {}
    for file in files:
        _merge(asked, _spec_of(file))
    for setting in settings:
        path, _, value = setting.partition("=")
        _merge(asked, _nested(path, yaml.safe_load(value) if value else ""))
    profile = str(asked.pop("profile", "") or "default")
    if profile not in PROFILES:
        raise click.ClickException(f"unknown profile: {profile}; minimesh has: {', '.join(PROFILES)}")
    mesh_config = dict(ACCESS_LOG_SETTINGS) if profile == "demo" else {}
    _merge(mesh_config, asked.pop("meshConfig", None) or {})
    chosen = _components(PROFILES[profile], asked.pop("components", {}))
    _refuse_the_rest(asked)
    return Installation(profile, chosen, _checked(mesh_config))


def _spec_of(file: str) -> Settings:
    try:
        documents = list(yaml.safe_load_all(Path(file).read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise click.ClickException(f"{file}: {error}") from error
    found: Settings = {}
    for document in documents:
        if not isinstance(document, dict) or document.get("kind") != "IstioOperator":
            raise click.ClickException(f"{file}: not an IstioOperator")
        _merge(found, document.get("spec") or {})
    return found


def _nested(path: str, value: Any) -> Settings:
    """`a.b[0].c` and a value -> {"a": {"b": {0: {"c": value}}}}."""
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            raise click.ClickException(f"{path!r} is no path of settings")
        steps += [step["name"], *([int(step["index"])] if step["index"] else [])]
        position = step.end()
    for each in reversed(steps):
        value = {each: value}
    return value if isinstance(value, dict) else {}


def _merge(into: Settings, more: Mapping[Any, Any]) -> None:
    for name, value in more.items():
        held = into.get(name)
        numbered = dict(enumerate(value)) if isinstance(value, list) and value else value
        if isinstance(held, dict) and isinstance(numbered, dict):
            _merge(held, numbered)
        elif isinstance(numbered, dict):
            into[name] = {}
            _merge(into[name], numbered)
        else:
            into[name] = numbered


def _components(of_profile: Sequence[str], asked: Any) -> tuple[str, ...]:
    chosen = list(of_profile)
    for kind, gateways in dict(asked or {}).items():
        if kind == "pilot" and gateways.get("enabled", True) is True:
            continue
        if kind not in _GATEWAYS:
            raise _unknown(f"components.{kind}")
        component, name = _GATEWAYS[kind]
        for index, gateway in dict(gateways).items():
            others = set(gateway) - {"name", "enabled", "namespace"}
            if index != 0 or others or gateway.get("name", name) != name:
                said = f"minimesh installs {name}; apply a Deployment with gateway injection for others"
                raise click.ClickException(f"components.{kind}[{index}]: {said}")
            if gateway.get("enabled", component in chosen) and component not in chosen:
                chosen.append(component)
            elif not gateway.get("enabled", True) and component in chosen:
                chosen.remove(component)
    return tuple(chosen)


def _checked(mesh_config: Settings) -> Settings:
    found: Settings = _with_lists(mesh_config)
    decoded = decode_mesh_config(yaml.safe_dump(found), "meshConfig")
    if has_errors(decoded.diagnostics):
        raise click.ClickException("\n".join(str(each) for each in decoded.diagnostics))
    return found


def _with_lists(value: Any) -> Any:
    """The same with its numbered members as lists again."""
    if not isinstance(value, dict):
        return value
    made = {name: _with_lists(each) for name, each in value.items()}
    if made and all(isinstance(name, int) for name in made):
        return [made[index] for index in sorted(made)]
    return made


def _refuse_the_rest(asked: Settings) -> None:
    for path in _paths(asked):
        if path not in ((), _ALWAYS_ON):
            raise _unknown(".".join(map(str, path)))


def _paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if not isinstance(value, dict) or not value:
        yield before
        return
    for name, each in value.items():
        yield from _paths(each, (*before, name))


def _unknown(path: str) -> click.ClickException:
    known = "profile, meshConfig, components.ingressGateways and components.egressGateways"
    return click.ClickException(f"minimesh has no setting {path!r}; it has {known}")
