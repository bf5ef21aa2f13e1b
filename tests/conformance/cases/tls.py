"""TLS towards the client: chains by server name, protocols by ALPN, and who asks wrongly."""

from __future__ import annotations

from tests.conformance.case import Case
from tests.conformance.cases.requests import get, raw, slow, status

CASES = (
    Case("https: GET", get("/x"), listener="https", sni="one.example"),
    Case("https: the other host", get("/x"), listener="https", sni="two.example"),
    Case("https: HTTP/1.1 by ALPN", get("/x"), listener="https", sni="one.example", alpn=("http/1.1",)),
    Case(
        "https: an unknown protocol by ALPN", get("/x"), listener="https", sni="one.example", alpn=("spdy",)
    ),
    Case(
        "https: HTTP/2 by ALPN",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)),
        listener="https",
        sni="one.example",
        alpn=("h2",),
    ),
    Case("https: a name in capitals", get("/x"), listener="https", sni="ONE.example"),
    Case("https: a server name that nobody has", get("/x"), listener="https", sni="three.example"),
    Case("https: no server name", get("/x"), listener="https", sni=""),
    Case("https: plain HTTP on its port", get("/x"), listener="https"),
    Case("https: garbage on its port", b"\x16\x03\x01\x00\x05hello", listener="https", answers=0),
    Case(
        "https: absolute form",
        raw("GET https://one.example/x HTTP/1.1", "Host: one.example"),
        listener="https",
        sni="one.example",
    ),
    Case("https: direct response", get("/direct"), listener="https", sni="one.example"),
    Case("https: 404 of another status", get("/x"), status(404), listener="https", sni="one.example"),
    Case("https: client leaves", get("/x"), slow(0.2), listener="https", sni="one.example", leaves=True),
)
