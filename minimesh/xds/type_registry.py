"""Envoy message types that nobody here names: loaded when a user's configuration does, by their type URL.

`messages` loads what the two planes themselves need. An EnvoyFilter may hold any message of Envoy's; the
generated packages have all of them, a module each, and loading all would cost more than a process has.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from google.protobuf import descriptor_pool, symbol_database

_PACKAGES = frozenset({"envoy", "udpa", "xds", "validate", "google"})


def load_type(full_name: str) -> bool:
    """Make a message type known to `Any` and to JSON; False when there is none of this name."""
    if _is_known(full_name):
        return True
    package, _, _ = full_name.rpartition(".")
    parts = package.split(".")
    # A message may be declared inside another: its package is then shorter than its name without the last.
    while parts and parts[0] in _PACKAGES and all(part.isidentifier() for part in parts):
        _import_package(".".join(parts))
        if _is_known(full_name):
            return True
        parts.pop()
    return False


def message_class(full_name: str) -> Any | None:
    """The class of a message type; None when there is none of this name."""
    if not load_type(full_name):
        return None
    return symbol_database.Default().GetSymbol(full_name)


def _is_known(full_name: str) -> bool:
    try:
        descriptor_pool.Default().FindMessageTypeByName(full_name)
    except KeyError:
        return False
    return True


def _import_package(package: str) -> None:
    try:
        found = importlib.import_module(package)
    except ImportError:
        return
    for module in pkgutil.iter_modules(getattr(found, "__path__", ())):
        if module.name.endswith("_pb2"):
            importlib.import_module(f"{package}.{module.name}")
