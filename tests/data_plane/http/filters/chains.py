"""Filter chains and routes for the tests of single filters."""

from __future__ import annotations

import json
from typing import Any

from tests.data_plane.http.lab import Lab

TYPE = "type.googleapis.com/envoy.extensions.filters.http."
WRAPPER = "type.googleapis.com/envoy.config.route.v3.FilterConfig"


def chain(kind: str, name: str = "tested", **config: Any) -> str:
    """The filter called `tested`, of type `kind` with this configuration, and the router."""
    return json.dumps([http_filter(kind, name, **config), ROUTER])


def http_filter(kind: str, name: str = "tested", **config: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": TYPE + kind, **config}}


ROUTER = http_filter("router.v3.Router", "envoy.filters.http.router")


def routes(*paths: tuple[str, dict[str, Any] | None], **host: Any) -> str:
    """Routes by prefix to the cluster `up`, each with a configuration of `tested`, and one for the rest."""
    known = [
        {
            "match": {"prefix": path},
            "route": {"cluster": "up"},
            "typed_per_filter_config": {} if own is None else {"tested": own},
        }
        for path, own in (*paths, ("/", None))
    ]
    direct = {
        "match": {"path": "/direct"},
        "direct_response": {"status": 200, "body": {"inline_string": "d" * 40}},
    }
    virtual_host = {"name": "v", "domains": ["*"], "routes": [direct, *known], **host}
    return json.dumps({"name": "r", "virtual_hosts": [virtual_host]})


def request(line: str, *headers: str, body: str = "") -> str:
    return "\r\n".join((f"{line} HTTP/1.1", "Host: h.com", *headers)) + "\r\n\r\n" + body


def post(path: str, body: str, *headers: str) -> str:
    return request(f"POST {path}", f"Content-Length: {len(body)}", *headers, body=body)


def chunked(path: str, *chunks: str) -> str:
    body = "".join(f"{len(chunk):x}\r\n{chunk}\r\n" for chunk in (*chunks, ""))
    return request(f"POST {path}", "Transfer-Encoding: chunked", body=body)


def status_of(answer: str) -> str:
    return answer[9:12]


def header(text: str, name: str) -> list[str]:
    """The values of a header in a request or an answer."""
    lines = text.partition("\r\n\r\n")[0].split("\r\n")[1:]
    return [value for key, _, value in (line.partition(": ") for line in lines) if key == name]


def body_of(text: str) -> str:
    return text.partition("\r\n\r\n")[2]


def counted(running: Lab, name: str) -> int:
    return running.stats.counter(name).value
