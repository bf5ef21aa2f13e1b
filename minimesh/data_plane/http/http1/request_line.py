"""The first line of an HTTP/1 request: method, target, version. Pure.

What is accepted and what is refused, and with which status and word, is Envoy's choice (Balsa parser).
"""

from __future__ import annotations

import re

from minimesh.data_plane.http.header_block import CODEC_ERROR, Refusal

LOW_VERSION = Refusal(426, "low_version")
HTTPS_ON_PLAINTEXT = Refusal(403, "http1.https_url_on_plaintext_connection")
INVALID_SCHEME = Refusal(400, "http1.invalid_scheme")
INVALID_URL = Refusal(400, "http1.invalid_url")
METHODS = frozenset(
    [
        "ACL",
        "BIND",
        "CHECKOUT",
        "CONNECT",
        "COPY",
        "DELETE",
        "GET",
        "HEAD",
        "LINK",
        "LOCK",
        "MERGE",
        "MKACTIVITY",
        "MKCALENDAR",
        "MKCOL",
        "MOVE",
        "MSEARCH",
        "NOTIFY",
        "OPTIONS",
        "PATCH",
        "POST",
        "PROPFIND",
        "PROPPATCH",
        "PURGE",
        "PUT",
        "REBIND",
        "REPORT",
        "SEARCH",
        "SOURCE",
        "SUBSCRIBE",
        "TRACE",
        "UNBIND",
        "UNLINK",
        "UNLOCK",
        "UNSUBSCRIBE",
    ]
)
#: Methods whose target may be a path: that of CONNECT is host and port.
_METHODS_WITH_PATHS = METHODS - {"CONNECT"}
_USUAL_LINE = re.compile(r"([A-Z]+) (/[\x21-\x7e]*) HTTP/1\.1")
_VERSION = re.compile(r"HTTP/[0-9]\.[0-9]")
_TARGET = re.compile(r"[\x21-\x7e]+")
_ABSOLUTE = re.compile(r"(https?)://([^/?#]*)(.*)", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"(?!https?:)[a-z][a-z0-9+.\-]*://", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9\-._~%!$&'()*+,;=]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
_CONNECT_TARGET = re.compile(r"(?:[A-Za-z0-9\-._~%]+|\[[0-9A-Fa-f:.]+\]):[0-9]+")


class RequestLine:
    """What the first line of a request says. `authority` is None unless the target had one."""

    __slots__ = ("authority", "method", "path", "scheme", "version")

    def __init__(self, method: str, path: str, authority: str | None, scheme: str, version: str) -> None:
        self.method = method
        self.path = path
        self.authority = authority
        self.scheme = scheme
        self.version = version


def read_request_line(line: str, scheme: str = "http", accept_http_10: bool = False) -> RequestLine | Refusal:
    """Read the line, without its end. `scheme`: of a target that does not name one; the connection's."""
    usual = _USUAL_LINE.fullmatch(line)
    if usual is not None and usual[1] in _METHODS_WITH_PATHS:
        return RequestLine(usual[1], usual[2], None, scheme, "HTTP/1.1")
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] not in METHODS or _TARGET.fullmatch(parts[1]) is None:
        return CODEC_ERROR
    method, target, version = parts
    if version != "HTTP/1.1":
        if _VERSION.fullmatch(version) is None:
            return CODEC_ERROR
        if version != "HTTP/1.0" or not accept_http_10:
            return LOW_VERSION
    if method == "CONNECT":
        if _CONNECT_TARGET.fullmatch(target) is None:
            return CODEC_ERROR
        return RequestLine(method, "", target, scheme, version)
    if target[0] == "/" or (target == "*" and method == "OPTIONS"):
        return RequestLine(method, target, None, scheme, version)
    return _read_absolute(method, target, version, scheme)


def _read_absolute(method: str, target: str, version: str, scheme: str) -> RequestLine | Refusal:
    if target == "*":
        return INVALID_URL
    if _OTHER_SCHEME.match(target) is not None:
        return INVALID_SCHEME
    found = _ABSOLUTE.fullmatch(target)
    if found is None or _AUTHORITY.fullmatch(found[2]) is None:
        return CODEC_ERROR
    if found[1].lower() == "https" and scheme == "http":
        return HTTPS_ON_PLAINTEXT
    # `http://host?query` keeps a path of `?query`, as in Envoy: no route that begins with a slash matches it.
    return RequestLine(method, found[3] or "/", found[2], scheme, version)
