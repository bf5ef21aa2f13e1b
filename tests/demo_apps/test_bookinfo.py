"""The four bookinfo services, each asked alone, and the calls between them over real sockets."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from demo_apps.bookinfo import details, productpage, ratings, reviews

UNREACHABLE = "Sorry, product reviews are currently unavailable for this book."


class Upstream:
    """A service that remembers what it was asked, and answers what it is told to."""

    def __init__(self, status: int, document: object) -> None:
        self.heads: list[dict[str, str]] = []
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                upstream.heads.append({name.lower(): value for name, value in self.headers.items()})
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.port = self._server.server_address[1]

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


Start = Callable[..., Upstream]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start an upstream that stands for a service, without a proxy in between."""
    upstreams: list[Upstream] = []
    monkeypatch.setenv("no_proxy", "*")

    def run(service: str, status: int, document: object) -> Upstream:
        upstream = Upstream(status, document)
        upstreams.append(upstream)
        monkeypatch.setenv(f"{service.upper()}_HOSTNAME", "127.0.0.1")
        monkeypatch.setenv(f"{service.upper()}_SERVICE_PORT", str(upstream.port))
        return upstream

    yield run
    for upstream in upstreams:
        upstream.stop()


STARS = {"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}


def test_details_knows_one_book_under_every_number() -> None:
    client = details.create_application().test_client()
    assert client.get("/details/0").json["author"] == "William Shakespeare"
    assert client.get("/details/7").json["id"] == 7
    refused = client.get("/details/x")
    assert (refused.status_code, refused.json) == (400, {"error": "please provide numeric product id"})
    assert client.get("/health").json == {"status": "Details is healthy"}


def test_ratings_can_be_asked_and_told() -> None:
    client = ratings.create_application().test_client()
    assert client.get("/ratings/0").json == STARS
    assert client.post("/ratings/0", json={"Reviewer1": 1}).json == {"id": 0, "ratings": {"Reviewer1": 1}}
    assert client.get("/ratings/0").json["ratings"] == {"Reviewer1": 1}
    assert client.post("/ratings/0", data="{").status_code == 400
    assert client.get("/ratings/x").status_code == 400


def test_the_first_reviews_have_no_stars_and_ask_nobody(start: Start) -> None:
    upstream = start("ratings", 200, STARS)
    answer = reviews.create_application("v1", "reviews-v1-abc").test_client().get("/reviews/0").json
    assert (answer["id"], answer["podname"]) == ("0", "reviews-v1-abc")
    assert all("rating" not in review for review in answer["reviews"])
    assert upstream.heads == []


@pytest.mark.parametrize(("version", "colour"), [("v2", "black"), ("v3", "red")])
def test_later_reviews_have_stars_of_their_colour(start: Start, version: str, colour: str) -> None:
    upstream = start("ratings", 200, STARS)
    client = reviews.create_application(version, "pod").test_client()
    answer = client.get("/reviews/0", headers={"end-user": "jason", "x-request-id": "r1", "x-other": "1"})
    assert [review["rating"] for review in answer.json["reviews"]] == [
        {"stars": 5, "color": colour},
        {"stars": 4, "color": colour},
    ]
    (head,) = upstream.heads
    assert (head["end-user"], head["x-request-id"]) == ("jason", "r1")
    assert "x-other" not in head


def test_reviews_without_ratings_say_so_and_are_reviews_still(start: Start) -> None:
    start("ratings", 500, {})
    answer = reviews.create_application("v2", "pod").test_client().get("/reviews/0")
    assert answer.status_code == 200
    assert {review["rating"]["error"] for review in answer.json["reviews"]} == {
        "Ratings service is currently unavailable"
    }


def test_the_product_page_shows_both_parts(start: Start) -> None:
    start("details", 200, {"id": 0, "publisher": "PublisherA"})
    review = {"reviewer": "R", "text": "T", "rating": {"stars": 3, "color": "red"}}
    start("reviews", 200, {"podname": "reviews-v3-x", "reviews": [review]})
    page = productpage.create_application().test_client().get("/productpage").text
    assert "<title>Simple Bookstore App</title>" in page
    assert "PublisherA" in page
    assert "text-red-500" in page
    assert page.count('"glyphicon glyphicon-star"') == 3
    assert "Reviews served by: <u>reviews-v3-x</u>" in page


def test_who_is_signed_in_goes_along_with_tracing_headers_and_cookie(start: Start) -> None:
    upstream = start("reviews", 200, {"podname": "p", "reviews": []})
    asked_details = start("details", 200, {"id": 0})
    client = productpage.create_application().test_client()
    signed_in = client.post("/login", data={"username": "jason", "passwd": "x"})
    assert (signed_in.status_code, signed_in.location) == (302, "/productpage")
    page = client.get("/productpage", headers={"x-request-id": "r1", "x-b3-traceid": "t1", "x-other": "1"})
    assert "jason" in page.text
    for head in (*upstream.heads, *asked_details.heads):
        assert (head["end-user"], head["x-request-id"], head["x-b3-traceid"]) == ("jason", "r1", "t1")
        assert "session=" in head["cookie"]
        assert "x-other" not in head
    client.get("/logout")
    client.get("/productpage")
    assert "end-user" not in upstream.heads[-1]


def test_reviews_are_asked_for_twice_and_details_once(start: Start) -> None:
    asked_reviews = start("reviews", 503, {})
    asked_details = start("details", 404, {})
    page = productpage.create_application().test_client().get("/productpage")
    assert page.status_code == 200
    assert "Error fetching product reviews" in page.text
    assert "Error fetching product details" in page.text
    assert UNREACHABLE in page.text
    assert (len(asked_reviews.heads), len(asked_details.heads)) == (2, 1)


def test_the_interface_for_programs_passes_statuses_on(start: Start) -> None:
    start("ratings", 200, STARS)
    start("reviews", 503, {})
    client = productpage.create_application().test_client()
    assert [product["id"] for product in client.get("/api/v1/products").json] == [0]
    assert client.get("/api/v1/products/0/ratings").json == STARS
    answer = client.get("/api/v1/products/0/reviews")
    assert (answer.status_code, answer.json) == (503, {"error": UNREACHABLE})


def test_a_service_that_nobody_serves_is_a_500(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("DETAILS_HOSTNAME", "127.0.0.1")
    monkeypatch.setenv("DETAILS_SERVICE_PORT", str(closed))
    assert productpage.create_application().test_client().get("/api/v1/products/0").status_code == 500


def test_limits_are_those_that_the_lab_on_delays_is_about() -> None:
    """Twice the product page's limit is less than reviews v2 waits, and more than v3 does."""
    whole_s = productpage._ATTEMPTS["reviews"] * productpage._TIMEOUT_S
    assert reviews._RATINGS_TIMEOUT_S["red"] < whole_s < reviews._RATINGS_TIMEOUT_S["black"]
    assert (productpage._TIMEOUT_S, whole_s) == (3.0, 6.0)


def test_index_and_style_are_served() -> None:
    client = productpage.create_application().test_client()
    assert "Normal user" in client.get("/").text
    with client.get("/static/bookinfo.css") as style:
        assert style.content_type.startswith("text/css")
