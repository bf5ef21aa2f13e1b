"""Normalisation of paths: Envoy's rows for normalize_path, merge_slashes and escaped slashes."""

import pytest

from minimesh.data_plane.http.hcm_config import EscapedSlashes, HttpConnectionManagerConfig
from minimesh.data_plane.http.path import PathRefused, normalize
from minimesh.data_plane.routing.route_table import RouteConfigHolder


def config(**settings: object) -> HttpConnectionManagerConfig:
    return HttpConnectionManagerConfig("t", RouteConfigHolder(), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/one/", "/one/"),
        ("//one", "//one"),
        ("/x/../one", "/one"),
        ("/./one", "/one"),
        ("/one/..", "/"),
        ("/../one", "/one"),
        ("/one/%2e%2e/two", "/two"),
        ("/one%2fx", "/one%2fx"),
        ("/one%5cx", "/one%5cx"),
        ("/one\\x", "/one/x"),
        ("/on%65", "/one"),
        ("/one%zz", "/one%zz"),
        ("/one;p=1", "/one;p=1"),
        ("/one/..;a=b/two", "/two"),
        ("/one/.;x", "/one/"),
        ("/one/%2e%2e;/two", "/one/..;/two"),
        ("/one?x=/../y", "/one?x=/../y"),
        ("/.well-known/x", "/.well-known/x"),
    ],
)
def test_normalize_path(path: str, normal: str) -> None:
    assert normalize(path, config(normalize_path=True)) == normal


@pytest.mark.parametrize("path", ["/x/../one", "//one", "/on%65", "/one%2fx"])
def test_nothing_is_changed_unless_configured(path: str) -> None:
    assert normalize(path, config()) == path


@pytest.mark.parametrize(
    ("path", "normal"),
    [("//one", "/one"), ("/one%2fx", "/one/x"), ("/a%5Cb", "/a/b"), ("/x//..//one", "/x/one")],
)
def test_merged_and_unescaped(path: str, normal: str) -> None:
    settings = config(
        normalize_path=True, merge_slashes=True, escaped_slashes=EscapedSlashes.UNESCAPE_AND_FORWARD
    )
    assert normalize(path, settings) == normal


def test_refused() -> None:
    assert isinstance(normalize("/a#b", config()), PathRefused)
    assert isinstance(normalize("/a%00", config(normalize_path=True)), PathRefused)
    strict = config(escaped_slashes=EscapedSlashes.REJECT_REQUEST)
    assert isinstance(normalize("/a%2Fb", strict), PathRefused)
    redirecting = normalize("/a%2Fb?q", config(escaped_slashes=EscapedSlashes.UNESCAPE_AND_REDIRECT))
    assert isinstance(redirecting, PathRefused)
    assert redirecting.redirect_to == "/a/b?q"
