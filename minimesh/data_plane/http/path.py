"""Normalisation of request paths, as Envoy does it (the URL canonicaliser of its `normalize_path`). Pure.

Decodes escaped unreserved characters, resolves `.` and `..` (also as `..;x`), turns `\\` into `/`; leaves
`%2f`, `%5c`, `//` and malformed escapes alone. The query is never touched.
"""

from __future__ import annotations

import re

from minimesh.data_plane.http.hcm_config import EscapedSlashes, HttpConnectionManagerConfig

_NEEDS_WORK = re.compile(r"[%\\\"<>^`{|}#]|/\.|//|\A\*")
#: Whether anything in a path may have to be changed or refused: most have nothing.
needs_normalizing = _NEEDS_WORK.search
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_ESCAPED_SLASH = re.compile(r"%2[fF]|%5[cC]")
_SLASHES = re.compile(r"/{2,}")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
#: A dot segment with a parameter is one all the same: applications may take it so.
_DOTS_WITH_PARAMETER = re.compile(r"(?<=/)(\.{1,2});[^/]*")
_TO_ESCAPE = re.compile(r"[\"<>^`{|}]")


class PathRefused:
    """A path that cannot be served; `redirect_to` is set where the client is sent to the clean one.

    `changed_to` is how far it has come: that is logged.
    """

    __slots__ = ("changed_to", "redirect_to")

    def __init__(self, redirect_to: str = "", changed_to: str = "") -> None:
        self.redirect_to = redirect_to
        self.changed_to = changed_to or redirect_to


def normalize(path: str, config: HttpConnectionManagerConfig) -> str | PathRefused:
    """The path as it is to be matched, forwarded and logged."""
    if "#" in path:
        return PathRefused()
    if _NEEDS_WORK.search(path) is None:
        return path
    target, question, query = path.partition("?")
    redirect = False
    if config.escaped_slashes is not EscapedSlashes.KEEP_UNCHANGED and _ESCAPED_SLASH.search(target):
        redirect = config.escaped_slashes is EscapedSlashes.UNESCAPE_AND_REDIRECT
        target = _ESCAPED_SLASH.sub(lambda found: "/" if found[0][1] == "2" else "\\", target)
        if config.escaped_slashes is EscapedSlashes.REJECT_REQUEST:
            return PathRefused(changed_to=f"{target}{question}{query}")
    if config.normalize_path:
        canonical = canonical_path(target)
        if canonical is None:
            return PathRefused()
        target = canonical
    if config.merge_slashes:
        target = _SLASHES.sub("/", target)
    clean = f"{target}{question}{query}"
    return PathRefused(redirect_to=clean) if redirect else clean


def canonical_path(target: str) -> str | None:
    """A path without query in canonical form; None when it has a NUL."""
    if "%00" in target:
        return None
    if "/." in target and ";" in target:
        target = _DOTS_WITH_PARAMETER.sub(r"\1", target)
    target = _ESCAPE.sub(_decode_unreserved, target).replace("\\", "/")
    target = _TO_ESCAPE.sub(lambda found: f"%{ord(found[0]):02X}", target)
    return _resolve_dots(target) if "/." in target else target


def _decode_unreserved(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if character in _UNRESERVED else found[0]


def _resolve_dots(target: str) -> str:
    kept: list[str] = []
    segments = target.split("/")
    for segment in segments[1:]:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
