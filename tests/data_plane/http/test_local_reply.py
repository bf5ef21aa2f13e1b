"""What routes may change about the answers the proxy makes itself: as Envoy 1.40 sends them."""

from __future__ import annotations

import pytest

from tests.data_plane.http.lab import lab

DIRECT = "direct_response: {status: 200, body: {inline_string: hi}}"
NO_HOSTS = "route: {cluster: up}"


@pytest.mark.parametrize(
    ("action", "changes", "answer"),
    [
        pytest.param(
            DIRECT,
            "response_headers_to_add: [{header: {key: x-a, value: '1'}}]",
            "200 OK|x-a: 1|content-length: 2|content-type: text/plain|<end>||hi",
            id="additions come first",
        ),
        pytest.param(
            DIRECT,
            "response_headers_to_add: [{header: {key: content-type, value: text/html}}]",
            "200 OK|content-type: text/html|content-length: 2|<end>||hi",
            id="the route may say the type",
        ),
        pytest.param(
            DIRECT,
            "response_headers_to_add: [{header: {key: content-length, value: '9'}}]",
            "200 OK|content-length: 2|content-type: text/plain|<end>||hi",
            id="but not the length",
        ),
        pytest.param(
            DIRECT,
            "response_headers_to_remove: [content-type, content-length]",
            "200 OK|content-length: 2|content-type: text/plain|<end>||hi",
            id="nor do without them",
        ),
        pytest.param(
            "redirect: {path_redirect: /y}",
            "response_headers_to_remove: [location]",
            "301 Moved Permanently|<end>|content-length: 0||",
            id="a redirect may lose its target",
        ),
        pytest.param(
            NO_HOSTS,
            "response_headers_to_add: [{header: {key: content-type, value: text/html}}]",
            "503 Service Unavailable|content-type: text/html|content-length: 19|<end>||no healthy upstream",
            id="failures are changed too",
        ),
    ],
)
async def test_what_a_route_changes(action: str, changes: str, answer: str) -> None:
    routes = f"""
    name: r
    virtual_hosts:
    - name: v
      domains: ["*"]
      routes: [{{match: {{prefix: /}}, {action}, {changes}}}]
    """
    async with lab(routes, hosts={"up": []}) as running:
        expected = f"HTTP/1.1 {answer}".replace("<end>", "date: <now>|server: envoy").replace("|", "\r\n")
        assert await running.ask("GET /x HTTP/1.1\r\nHost: a\r\n\r\n") == expected


async def test_a_grpc_call_learns_of_a_failure_by_its_headers() -> None:
    routes = """
    name: r
    virtual_hosts:
    - {name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: up}}]}
    """
    call = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc+proto\r\nContent-Length: 0\r\n\r\n"
    async with lab(routes, hosts={"up": []}) as running:
        assert (await running.ask(call)).split("\r\n")[:4] == [
            "HTTP/1.1 200 OK",
            "content-type: application/grpc",
            "grpc-status: 14",
            "grpc-message: no healthy upstream",
        ]
