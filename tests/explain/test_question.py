"""What is asked is read as curl would read it."""

from __future__ import annotations

import pytest

from minimesh.explain.question import Question, QuestionError


def test_a_url_without_scheme_is_http() -> None:
    question = Question.parse("get", "httpbin:8000/one?x=1", source="sleep")
    assert (question.method, question.scheme, question.host, question.port) == (
        "GET",
        "http",
        "httpbin",
        8000,
    )
    assert (question.target, question.authority) == ("/one?x=1", "httpbin:8000")


def test_a_host_header_is_where_the_request_is_for_and_the_url_where_it_goes() -> None:
    question = Question.parse("GET", "http://localhost:8080/", ("host: gs.xebia.com", "end-user: jason"))
    assert (question.host, question.port, question.authority) == ("localhost", 8080, "gs.xebia.com")
    assert question.headers == (("end-user", "jason"),)
    assert question.curl == "curl -i -H 'Host: gs.xebia.com' -H 'end-user: jason' http://localhost:8080/"


@pytest.mark.parametrize(
    ("url", "headers", "words"),
    [
        ("ftp://a/", (), "no URL of http"),
        ("http://a:port/", (), "is no URL"),
        ("http://a/", ("no colon",), "is no header"),
        ("http://a/", ("x: a\r\nHost: b",), "line end"),
    ],
)
def test_what_makes_no_sense_is_refused(url: str, headers: tuple[str, ...], words: str) -> None:
    with pytest.raises(QuestionError, match=words):
        Question.parse("GET", url, headers)


def test_it_comes_by_a_gateway_or_from_a_pod() -> None:
    with pytest.raises(QuestionError, match="not both"):
        Question.parse("GET", "a/", via="ingressgateway", source="sleep")
