"""Regular expressions: the same answers with google-re2 and without, refusals where they would differ."""

from __future__ import annotations

import time

import pytest

from minimesh.data_plane.routing import regex
from minimesh.data_plane.routing.regex import Regex, RegexError, Substitution


@pytest.fixture(params=["google-re2", "fallback"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "fallback":
        monkeypatch.setattr(regex, "_re2", lambda: None)
    elif regex._re2() is None:
        pytest.skip("google-re2 is not installed")
    return str(request.param)


@pytest.fixture
def fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regex, "_re2", lambda: None)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("/re/[0-9]+", "/re/12", True),
        ("/re/[0-9]+", "/re/12/x", False),
        ("/re/[0-9]+", "x/re/12", False),
        (r"^/users/\d+$", "/users/1", True),
        ("a|ab", "ab", True),
        ("a$", "a\n", False),
        (r"a\z", "a", True),
        ("(?i)/ABC", "/abc", True),
        ("(?P<x>a)(?<y>b)", "ab", True),
        ("[a[]+", "a[", True),
        ("[]a]", "]", True),
        ("[^]a]", "b", True),
        (r"[\]x]", "]", True),
        (r"\d", "٣".encode().decode("latin-1"), False),
        ("é+", "éé".encode().decode("latin-1"), True),
        ("a{2,3}", "aaa", True),
        ("a{2,3}", "aaaa", False),
        ("x{", "x{", True),
        (r"\x41", "A", True),
        ("(a|b)?", "", True),
        ("(?:foo|bar)-(.*)", "bar-x", True),
        (".*", "a\nb", False),
        ("", "", True),
    ],
)
def test_matches_whole_texts(engine: str, pattern: str, text: str, expected: bool) -> None:
    assert Regex(pattern).fullmatch(text) is expected


@pytest.mark.parametrize(
    "pattern", ["(?=a)", "(?!a)", "(?<=a)b", r"(a)\1", "a++", "(?>a)", "(", ")", "[a", "*", "a{1001}", r"\Z"]
)
def test_what_re2_does_not_have(engine: str, pattern: str) -> None:
    with pytest.raises(RegexError):
        Regex(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+", "(a|ab)*", "((a|b)c)*", ".*a.*b.*", r"[[:alpha:]]", r"\pL", r"\Qa\E", r"\C", "(?m)a", "[é]"],
)
def test_what_only_re2_can_do_safely(fallback: None, pattern: str) -> None:
    with pytest.raises(RegexError, match="google-re2"):
        Regex(pattern)


def test_the_fallback_stays_quick(fallback: None) -> None:
    worst = Regex(".*a.*b")
    started = time.process_time()
    assert not worst.fullmatch("a" * 4096)
    assert time.process_time() - started < 2
    assert not worst.fullmatch("ab" * 100_000), "longer texts are not tried"


def test_the_fallback_searches_only_for_what_is_quick_to_find(fallback: None) -> None:
    with pytest.raises(RegexError, match=r"begin it with \^, or install google-re2"):
        Substitution("x", Regex("a.*b.*"))
    anchored = Regex("^a.*b.*")
    assert anchored.replace_all("ab", Substitution("x", anchored)) == "x"


@pytest.mark.parametrize(
    ("pattern", "substitution", "text", "expected"),
    [
        ("^/rewre/([^/]+)/(.*)$", r"/\2/\1", "/rewre/a/b/c", "/b/c/a"),
        ("a", "b", "banana", "bbnbnb"),
        ("a*", "-", "baac", "-b-c-"),
        ("x", "y", "abc", "abc"),
        ("(a)|(b)", r"[\1\2]", "ab", "[a][b]"),
        ("b", r"<\0>", "abc", "a<b>c"),
        ("b", r"\\", "abc", r"a\c"),
        ("", "-", "ab", "-a-b-"),
    ],
)
def test_replaces_as_re2_does(engine: str, pattern: str, substitution: str, text: str, expected: str) -> None:
    compiled = Regex(pattern)
    assert compiled.replace_all(text, Substitution(substitution, compiled)) == expected


@pytest.mark.parametrize(
    ("substitution", "reason"), [(r"\2", "names group 2"), (r"\x", "after a backslash"), ("\\", "after")]
)
def test_substitutions_are_checked(engine: str, substitution: str, reason: str) -> None:
    with pytest.raises(RegexError, match=reason):
        Substitution(substitution, Regex("(a)"))
