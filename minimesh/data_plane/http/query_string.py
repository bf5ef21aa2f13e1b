"""The query string of a request target, parameter by parameter.

Parameters keep the text that the client wrote; names are compared decoded. (Envoy decodes what it does not
change as well and sends it on like that, blanks included.)
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

_UNQUOTED = "-_.~"


class QueryString:
    """The parameters of one target, and what becomes of them."""

    __slots__ = ("_parameters",)

    def __init__(self, target: str) -> None:
        query = target.partition("?")[2].partition("#")[0]
        #: (decoded name, name and value as they go out)
        self._parameters = [_parameter(text) for text in query.split("&") if text]

    def __contains__(self, name: str) -> bool:
        return any(known == name for known, _ in self._parameters)

    def __str__(self) -> str:
        """With its question mark, sorted by name as Envoy sends it; empty when nothing is left."""
        return _joined(text for _, text in sorted(self._parameters, key=lambda each: each[0]))

    def add(self, name: str, value: str) -> None:
        self._parameters.append((name, f"{name}={quote(value, _UNQUOTED, 'latin-1')}"))

    def remove(self, name: str) -> None:
        """All of them go that have this name."""
        self._parameters = [each for each in self._parameters if each[0] != name]

    def replace(self, name: str, value: str) -> None:
        """One in place of all that have this name."""
        self.remove(name)
        self.add(name, value)


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return unquote_to_bytes(name.encode("latin-1")).decode("latin-1"), f"{name}={value}"


def _joined(parameters: Iterable[str]) -> str:
    text = "&".join(parameters)
    return f"?{text}" if text else ""
