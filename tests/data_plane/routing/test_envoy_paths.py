"""Paths as Envoy 1.40 routed and rewrote them, recorded from a live one.

Its listener normalised the path first; that is the HTTP side's work, so the paths here are normalised ones.
"""

from __future__ import annotations

import pytest

from minimesh.data_plane.routing.actions import RouteAction
from tests.data_plane.routing.requests import Head, compile_table, find, one_host


def _route(name: str, match: dict[str, object], **rewrite: object) -> dict[str, object]:
    return {"name": name, "match": match, "route": {"cluster": "up", **rewrite}}


def _regex_rewrite(regex: str, substitution: str) -> dict[str, object]:
    return {"pattern": {"regex": regex}, "substitution": substitution}


TABLE = compile_table(
    one_host(
        _route("one", {"prefix": "/one"}, prefix_rewrite="/ip"),
        _route("two", {"prefix": "/two"}, prefix_rewrite="/user-agent"),
        _route("slash", {"prefix": "/slash/"}, prefix_rewrite="/"),
        _route("root", {"prefix": "/root"}, prefix_rewrite="/"),
        _route(
            "gwroot",
            {"path_separated_prefix": "/gwroot"},
            regex_rewrite=_regex_rewrite("^/gwroot(/?)(.*)", "/\\2"),
        ),
        _route("psp", {"path_separated_prefix": "/psp"}, prefix_rewrite="/api"),
        _route("exact", {"path": "/exact"}, prefix_rewrite="/rewritten"),
        _route("icase", {"prefix": "/icase", "case_sensitive": False}, prefix_rewrite="/low"),
        _route("re", {"safe_regex": {"regex": "/re/[0-9]+"}}, prefix_rewrite="/whole"),
        _route(
            "rewre",
            {"prefix": "/rewre"},
            regex_rewrite=_regex_rewrite("^/rewre/([^/]+)/(.*)$", "/\\2/\\1"),
        ),
        _route(
            "qp",
            {"prefix": "/qp", "query_parameters": [{"name": "v", "string_match": {"exact": "1"}}]},
        ),
        _route("default", {"prefix": "/"}),
    )
)

# path, route, path at the upstream
RECORDED = """
/onetwo            one      /iptwo
/one/              one      /ip/
/one               one      /ip
/one/x/y           one      /ip/x/y
/One               default  /One
//one              default  //one
/two               two      /user-agent
/                  default  /
/one//x            one      /ip//x
/one%2fx           one      /ip%2fx
/one%5cx           one      /ip%5cx
/one%zz            one      /ip%zz
/one;p=1           one      /ip;p=1
/one?x=/../y       one      /ip?x=/../y
/slash             default  /slash
/slash/            slash    /
/slash/x           slash    /x
/root              root     /
/root/             root     //
/root/x            root     //x
/rootx             root     /x
/root?x=1          root     /?x=1
/gwroot            gwroot   /
/gwroot/           gwroot   /
/gwroot/x?y=1      gwroot   /x?y=1
/gwrootx           default  /gwrootx
/psp               psp      /api
/psp/              psp      /api/
/psp/x             psp      /api/x
/pspx              default  /pspx
/psp?x=1           psp      /api?x=1
/exact             exact    /rewritten
/exact/            default  /exact/
/exact?x=1         exact    /rewritten?x=1
/exactx            default  /exactx
/icase/A           icase    /low/A
/ICASE/A           icase    /low/A
/re/12             re       /whole
/re/12?x=1         re       /whole?x=1
/re/12/x           default  /re/12/x
/re/x              default  /re/x
/rewre/a/b/c?d=1   rewre    /b/c/a?d=1
/qp?v=1            qp       /qp?v=1
/qp?v=1&v=2        qp       /qp?v=1&v=2
/qp?v=2&v=1        default  /qp?v=2&v=1
"""


@pytest.mark.parametrize(
    ("path", "name", "upstream_path"), [line.split() for line in RECORDED.split("\n") if line]
)
def test_path(path: str, name: str, upstream_path: str) -> None:
    route = find(TABLE, Head(path))
    assert route is not None
    assert isinstance(route.action, RouteAction)
    assert (route.name, route.action.rewrite_path(path)) == (name, upstream_path)


def test_only_routes_with_a_rewrite_say_so() -> None:
    """The router sends `x-envoy-original-path` for exactly these."""
    rewriting = {
        route.name
        for _, route in TABLE.virtual_hosts[0].routes
        if isinstance(route.action, RouteAction) and route.action.path_rewrite is not None
    }
    assert rewriting == {"one", "two", "slash", "root", "gwroot", "psp", "exact", "icase", "re", "rewre"}
