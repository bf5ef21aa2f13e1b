"""How a compile step says no: one error, naming the field by its path; its text is what the NACK carries."""

from __future__ import annotations

from typing import Any


class CompileError(ValueError):
    """Configuration that this proxy cannot or will not act on.

    `field` is the path of the field (`virtual_hosts[0].routes[3].match.filter_state`), empty for the whole
    message; `str()` is `field: reason`.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


def join(path: str, field: str) -> str:
    """`path.field`, or only the field at the top."""
    return f"{path}.{field}" if path else field


def refuse_unsupported(message: Any, path: str, supported: frozenset[str]) -> None:
    """Raises for the first field that is set and not in `supported`."""
    for descriptor, _ in message.ListFields():
        if descriptor.name not in supported:
            raise CompileError(join(path, descriptor.name), "not supported")
