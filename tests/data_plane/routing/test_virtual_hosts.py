"""Which virtual host: exact, longest `*.suffix`, longest `prefix.*`, `*`, in this order, in any case."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimesh.data_plane.routing.authority import without_port
from minimesh.data_plane.routing.route_table import (
    SSL_REDIRECT_ROUTE,
    DuplicateDomainError,
    RouteTable,
    VirtualHost,
)
from tests.data_plane.routing.requests import Head, compile_table, find, one_host


def _table(*domains: str, ignore_port: bool = False) -> RouteTable:
    hosts = [VirtualHost(domain, [domain], []) for domain in domains]
    return RouteTable("r", hosts, ignore_port=ignore_port)


def _found(table: RouteTable, authority: str) -> str | None:
    virtual_host = table.find_virtual_host(authority)
    return virtual_host.name if virtual_host else None


@pytest.mark.parametrize(
    ("authority", "domain"),
    [
        ("a.example.com", "a.example.com"),
        ("A.Example.COM", "a.example.com"),
        ("b.example.com", "*.example.com"),
        ("x-b.example.com", "*-b.example.com"),
        ("b.other.org", "b.*"),
        ("b.example.net", "b.example.*"),
        (".example.com", "*"),
        ("example.com", "*"),
        ("b.", "*"),
        ("a.example.com.", "*"),
        ("a.example.com:80", "*"),
        ("a.example.com,a.example.com", "*.example.com"),
        ("", "*"),
    ],
)
def test_order(authority: str, domain: str) -> None:
    table = _table("*", "b.*", "b.example.*", "*.example.com", "*-b.example.com", "a.example.com")
    assert _found(table, authority) == domain
    assert _found(table, authority) == domain, "the second time, from the memo"


def test_no_match_without_a_default() -> None:
    assert _found(_table("a.com"), "b.com") is None
    assert _found(_table(), "b.com") is None


def test_ports_can_be_ignored() -> None:
    table = _table("a.com", "*.b.com", "[::1]", ignore_port=True)
    assert _found(table, "a.com:81") == "a.com"
    assert _found(table, "x.b.com:81") == "*.b.com"
    assert _found(table, "[::1]:81") == "[::1]"
    assert _found(table, "a.com:http") is None


def test_a_port_can_be_part_of_a_domain() -> None:
    table = _table("a.com:80", "a.com", "a.com:*")
    assert [_found(table, authority) for authority in ("a.com", "a.com:80", "a.com:81")] == [
        "a.com",
        "a.com:80",
        "a.com:*",
    ]


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("a.com:80", "a.com"),
        ("a.com", "a.com"),
        ("a.com:", "a.com:"),
        ("a.com:x", "a.com:x"),
        ("a.com:65536", "a.com:65536"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("::1", "::1"),
        (":80", ""),
        ("", ""),
    ],
)
def test_without_port(authority: str, host: str) -> None:
    assert without_port(authority) == host


@pytest.mark.parametrize("domains", [["a.com", "A.com"], ["*", "*"], ["*.a", "*.A"], ["a.*", "A.*"]])
def test_a_domain_may_be_claimed_once(domains: list[str]) -> None:
    with pytest.raises(DuplicateDomainError, match="already taken"):
        _table(*domains)


_HOSTS = st.text("ab.", min_size=1, max_size=6)
_DOMAINS = st.lists(
    st.one_of(_HOSTS, _HOSTS.map("*{}".format), _HOSTS.map("{}*".format), st.just("*")),
    unique=True,
    max_size=8,
)


def _documented(domains: Sequence[str], host: str) -> str | None:
    if host in domains:
        return host
    suffixes = [d for d in domains if d.startswith("*") and d != "*" and host.endswith(d[1:])]
    prefixes = [d for d in domains if d.endswith("*") and d != "*" and host.startswith(d[:-1])]
    for wildcards in (suffixes, prefixes):
        fitting = [domain for domain in wildcards if len(domain) - 1 < len(host)]
        if fitting:
            return max(fitting, key=len)
    return "*" if "*" in domains else None


@given(_DOMAINS, _HOSTS)
def test_the_documented_order(domains: list[str], host: str) -> None:
    assert _found(_table(*domains), host) == _documented(domains, host)


def test_the_memo_is_bounded() -> None:
    table = _table("a.com", "*")
    for number in range(5000):
        table.find_virtual_host(f"{number}.com")
    table.find_virtual_host("x" * 100_000)
    assert len(table._memo) <= 1024
    assert max(map(len, table._memo)) < 1000


@pytest.mark.parametrize(
    ("require_tls", "protocol", "internal", "redirected"),
    [
        ("NONE", "http", False, False),
        ("ALL", "http", False, True),
        ("ALL", "http", True, True),
        ("ALL", "https", False, False),
        ("EXTERNAL_ONLY", "http", False, True),
        ("EXTERNAL_ONLY", "http", True, False),
        ("EXTERNAL_ONLY", "https", False, False),
    ],
)
def test_tls_can_be_required(require_tls: str, protocol: str, internal: bool, redirected: bool) -> None:
    config = one_host({"match": {"prefix": "/"}, "route": {"cluster": "c"}}, require_tls=require_tls)
    headers = [("x-forwarded-proto", protocol)]
    if internal:
        headers.append(("x-envoy-internal", "true"))
    found = find(compile_table(config), Head(headers=headers))
    assert (found is SSL_REDIRECT_ROUTE) is redirected


def test_path_parameters_can_be_ignored() -> None:
    route = {"match": {"path": "/a"}, "route": {"cluster": "c"}}
    config = one_host(route) | {"ignore_path_parameters_in_path_matching": True}
    assert find(compile_table(config), Head("/a;p=1")) is not None
    assert find(compile_table(one_host(route)), Head("/a;p=1")) is None
