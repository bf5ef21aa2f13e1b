"""Istio's bookinfo lab: each traffic rule does what its documentation says, seen through the gateway."""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.end_to_end.mesh import wait_until
from tests.labs import samples
from tests.labs.lab_shell import LabShell
from tests.labs.statistics import plausible

pytestmark = [pytest.mark.slow, samples.needed]

KUBE = samples.BOOKINFO / "platform" / "kube"
NETWORKING = samples.BOOKINFO / "networking"
REVIEWS = "reviews.default.svc.cluster.local"
RATINGS = "ratings.default.svc.cluster.local"
CALLERS = {
    "reviews": [("productpage-v1", REVIEWS)],
    "ratings": [("reviews-v2", RATINGS), ("reviews-v3", RATINGS)],
}
UNAVAILABLE = "Sorry, product reviews are currently unavailable for this book."


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabShell]:
    lab = LabShell(tmp_path_factory.mktemp("bookinfo"))
    try:
        lab("kubectl label namespace default istio-injection=enabled --overwrite")
        deploy(lab)
        yield lab
    finally:
        lab.stop()


def deploy(lab: LabShell) -> None:
    """The applications, the gateway and the subsets, until the page is served."""
    lab(f"kubectl apply -f {KUBE}/bookinfo.yaml")
    lab(f"kubectl apply -f {NETWORKING}/bookinfo-gateway.yaml")
    lab(f"kubectl apply -f {NETWORKING}/destination-rule-all.yaml")
    lab("kubectl wait pods --all --for=condition=Ready --timeout=90s")
    wait_until(lambda: Reader(lab).ask("/productpage")[0] == 200, "the product page through the gateway")


class Reader:
    """Somebody who reads the page through the gateway, signed in or not."""

    def __init__(self, lab: LabShell, user: str = "") -> None:
        self._lab = lab
        self._headers: dict[str, str] = {}
        if user:
            self._sign_in(user)

    def _sign_in(self, user: str) -> None:
        form = {"content-type": "application/x-www-form-urlencoded"}
        status, headers, _ = self._exchange(
            "POST", "/login", urlencode({"username": user, "passwd": "x"}), form
        )
        assert (status, headers["location"]) == (302, "/productpage")
        self._headers = {"cookie": headers["set-cookie"].partition(";")[0]}

    def ask(self, path: str) -> tuple[int, str]:
        """The status and the body; 0 when the gateway does not listen yet."""
        try:
            status, _, text = self._exchange("GET", path, None, self._headers)
        except ConnectionRefusedError:
            return 0, ""
        return status, text

    def _exchange(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[int, http.client.HTTPMessage, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._lab.port, timeout=60)
        with closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()

    def version(self) -> str:
        """Which version of reviews answered one request."""
        status, text = self.ask("/api/v1/products/0/reviews")
        assert status == 200, text
        return "-".join(json.loads(text)["podname"].split("-")[:2])

    def versions(self, count: int) -> Counter[str]:
        return Counter(self.version() for _ in range(count))


def apply(lab: LabShell, file: str, **expected: list[tuple[str, int]]) -> None:
    """Apply rules, and wait until the proxies in front of `reviews` and `ratings` route by them."""
    lab(f"kubectl apply -f {NETWORKING / file}")
    for service, routes in expected.items():
        for workload, host in CALLERS[service]:
            wait_until(lambda w=workload, h=host, r=routes: shares(lab, w, h) == r, f"{file}: {routes}")


def without_rules(lab: LabShell) -> None:
    lab("kubectl delete virtualservice productpage reviews ratings details --ignore-not-found")
    wait_until(lambda: shares(lab, "productpage-v1", REVIEWS) == [("", 100)], "no rule for reviews")


def shares(lab: LabShell, workload: str, host: str) -> list[tuple[str, int]]:
    """The subsets that a workload's proxy routes a host's requests to, rule by rule, with their weights."""
    shown = lab(f"istioctl proxy-config route deploy/{workload} --name http_proxy -o json").out
    virtual_hosts = json.loads(shown)[0]["virtualHosts"]
    (found,) = [each for each in virtual_hosts if each["name"] == f"{host}:9080"]
    return [share for route in found["routes"] for share in _shares(route["route"])]


def _shares(action: dict[str, Any]) -> list[tuple[str, int]]:
    weighted = action.get("weightedClusters", {}).get("clusters", [{"name": action.get("cluster")}])
    return [(str(each["name"]).split("|")[2], each.get("weight", 100)) for each in weighted]


def test_all_that_is_wrong_is_subsets_of_versions_that_do_not_run(lab: LabShell) -> None:
    """The published rules name versions that the published applications leave out, and Istio says so."""
    without_rules(lab)
    ran = lab.run("istioctl analyze")
    subsets = [line.split("The Subset ")[1].split()[0] for line in ran.lines]
    assert sorted(subsets) == ["v2", "v2", "v2-mysql", "v2-mysql-vm"]
    assert all(line.startswith("Error [IST0173] (DestinationRule default/") for line in ran.lines)


def test_without_rules_reviews_of_all_three_versions_come_in_turn(lab: LabShell) -> None:
    without_rules(lab)
    assert set(Reader(lab).versions(60)) == {"reviews-v1", "reviews-v2", "reviews-v3"}


def test_everything_to_version_1_shows_no_stars(lab: LabShell) -> None:
    apply(lab, "virtual-service-all-v1.yaml", reviews=[("v1", 100)], ratings=[("v1", 100)])
    assert set(Reader(lab).versions(40)) == {"reviews-v1"}
    page = Reader(lab).ask("/productpage")[1]
    assert "Book Reviews" in page
    assert "glyphicon-star" not in page


def test_jason_alone_sees_black_stars(lab: LabShell) -> None:
    apply(lab, "virtual-service-reviews-test-v2.yaml", reviews=[("v2", 100), ("v1", 100)])
    assert set(Reader(lab, "jason").versions(20)) == {"reviews-v2"}
    assert set(Reader(lab, "anna").versions(20)) == {"reviews-v1"}
    assert set(Reader(lab).versions(20)) == {"reviews-v1"}
    page = Reader(lab, "jason").ask("/productpage")[1]
    assert "text-black-500" in page
    assert page.count('"glyphicon glyphicon-star"') == 9


def test_a_delay_in_ratings_finds_the_limit_that_is_too_short(lab: LabShell) -> None:
    """Seven seconds pass reviews' own limit of ten, but not the product page's two tries of three."""
    apply(lab, "virtual-service-all-v1.yaml", ratings=[("v1", 100)])
    apply(lab, "virtual-service-reviews-test-v2.yaml", reviews=[("v2", 100), ("v1", 100)])
    apply(lab, "virtual-service-ratings-test-delay.yaml", ratings=[("v1", 100), ("v1", 100)])
    jason = Reader(lab, "jason")
    began = time.monotonic()
    status, page = jason.ask("/productpage")
    assert time.monotonic() - began >= 6.0
    assert status == 200
    assert "Error fetching product reviews" in page
    assert UNAVAILABLE in page
    assert "Book Details" in page
    assert "Error fetching" not in Reader(lab).ask("/productpage")[1]


def test_version_3_answers_in_time_without_stars(lab: LabShell) -> None:
    """As the documentation's fix of that delay: version 3 gives up on ratings after 2.5 seconds."""
    apply(lab, "virtual-service-ratings-test-delay.yaml", ratings=[("v1", 100), ("v1", 100)])
    apply(lab, "virtual-service-reviews-v3.yaml", reviews=[("v3", 100)])
    page = Reader(lab, "jason").ask("/productpage")[1]
    assert "Ratings service is currently unavailable" in page
    assert "Error fetching" not in page


def test_an_abort_in_ratings_costs_jason_the_stars_alone(lab: LabShell) -> None:
    apply(lab, "virtual-service-ratings-test-abort.yaml", ratings=[("v1", 100), ("v1", 100)])
    apply(lab, "virtual-service-reviews-v2-v3.yaml", reviews=[("v2", 50), ("v3", 50)])
    wait_until(
        lambda: "Ratings service is currently unavailable" in Reader(lab, "jason").ask("/productpage")[1],
        "ratings to be refused",
    )
    assert "glyphicon-star" in Reader(lab).ask("/productpage")[1]


def test_jason_gets_version_2_and_all_others_version_3(lab: LabShell) -> None:
    apply(lab, "virtual-service-reviews-jason-v2-v3.yaml", reviews=[("v2", 100), ("v3", 100)])
    assert set(Reader(lab, "jason").versions(20)) == {"reviews-v2"}
    assert set(Reader(lab).versions(20)) == {"reviews-v3"}


@pytest.mark.parametrize(
    ("file", "weights"),
    [
        ("virtual-service-reviews-50-v3.yaml", {"v1": 50, "v3": 50}),
        ("virtual-service-reviews-80-20.yaml", {"v1": 80, "v2": 20}),
        ("virtual-service-reviews-90-10.yaml", {"v1": 90, "v2": 10}),
    ],
)
def test_weights_share_requests(lab: LabShell, file: str, weights: dict[str, int]) -> None:
    apply(lab, "virtual-service-all-v1.yaml", ratings=[("v1", 100)])
    apply(lab, file, reviews=list(weights.items()))
    count = 400
    seen = Reader(lab).versions(count)
    assert set(seen) <= {f"reviews-{version}" for version in weights}
    for version, weight in weights.items():
        fewest, most = plausible(count, weight / 100)
        assert fewest <= seen[f"reviews-{version}"] <= most, seen


def test_an_abort_in_details_is_an_error_on_the_page(lab: LabShell) -> None:
    """The fault is on the first rule, which every request matches."""
    apply(lab, "fault-injection-details-v1.yaml")
    wait_until(lambda: Reader(lab).ask("/api/v1/products/0")[0] == 555, "details to answer 555")
    assert "Sorry, product details are currently unavailable" in Reader(lab).ask("/productpage")[1]


def test_all_of_it_can_be_deleted_and_applied_again(lab: LabShell) -> None:
    lab(f"kubectl apply -f {NETWORKING}/virtual-service-all-v1.yaml")
    for file in (NETWORKING / "virtual-service-all-v1.yaml", KUBE / "bookinfo.yaml"):
        lab(f"kubectl delete -f {file}")
    lab("kubectl wait pods --all --for=delete --timeout=60s")
    assert "No resources found" in lab("kubectl get deploy,pods").err
    deploy(lab)
