"""Requests that fail, and what is said of each: the right cause, no other, and a patch that mends it."""

from __future__ import annotations

import pytest
import yaml

from minimesh.explain.explaining import explain
from minimesh.explain.ladder import Explanation, Finding, Severity, State
from minimesh.explain.patches import patched
from minimesh.explain.question import Question
from minimesh.explain.text import as_text
from minimesh.explain.world import World

SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 8000, targetPort: 80}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-v1}
spec:
  replicas: 1
  selector: {matchLabels: {app: web, version: v1}}
  template:
    metadata: {labels: {app: web, version: v1}}
    spec: {containers: [{name: c, image: docker.io/kennethreitz/httpbin, ports: [{containerPort: 80}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-v2}
spec:
  replicas: 1
  selector: {matchLabels: {app: web, version: v2}}
  template:
    metadata: {labels: {app: web, version: v2}}
    spec: {containers: [{name: c, image: docker.io/kennethreitz/httpbin, ports: [{containerPort: 80}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: sleep}
spec:
  replicas: 1
  selector: {matchLabels: {app: sleep}}
  template:
    metadata: {labels: {app: sleep}}
    spec: {containers: [{name: c, image: curlimages/curl, command: [sleep, infinity]}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*.test.com"]
  - port: {number: 443, name: tls, protocol: TLS}
    tls: {mode: PASSTHROUGH}
    hosts: [pass.test.com]
  - port: {number: 31400, name: tcp, protocol: TCP}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec:
  host: web
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - {name: v3, labels: {version: v3}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bytes}
spec:
  hosts: ["*"]
  gateways: [gw]
  tcp:
  - match: [{port: 31400}]
    route: [{destination: {host: web, port: {number: 8000}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: encrypted}
spec:
  hosts: [pass.test.com]
  gateways: [gw]
  tls:
  - match: [{port: 443, sniHosts: [pass.test.com]}]
    route: [{destination: {host: web, port: {number: 8000}}}]
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.test.com]
  gateways: [gw]
  http:
"""


def shop(rules: str) -> str:
    """A VirtualService with these rules."""
    return RULE + "\n".join(f"  {line}" for line in rules.strip().splitlines())


def asked(rules: str, url: str = "http://shop.test.com/", *headers: str, **way: str) -> Explanation:
    """What becomes of a request by the services above and these documents."""
    return explain(
        World.of_files({"services.yaml": SERVICES, "rules.yaml": rules}), question(url, *headers, **way)
    )


def question(url: str, *headers: str, method: str = "GET", **way: str) -> Question:
    return Question.parse(method, url, headers, **(way or {"via": "ingressgateway"}))


def causes(found: Explanation) -> list[str]:
    return [each.topic for each in found.findings if each.severity is Severity.CAUSE]


def the(found: Explanation, topic: str) -> Finding:
    return next(each for each in found.findings if each.topic == topic)


def mended(rules: str, finding: Finding, url: str = "http://shop.test.com/") -> Explanation:
    """The same question once the patch is applied."""
    documents = [*yaml.safe_load_all(SERVICES), *yaml.safe_load_all(rules)]
    return explain(
        World.of_files({"all.yaml": yaml.safe_dump_all(patched(documents, finding.patch))}), question(url)
    )


# --- what is said is so ---


def test_a_server_at_another_port_is_no_reason_that_a_route_does_not_fit() -> None:
    found = asked(shop("- match: [{uri: {exact: /one}}]\n  route: [{destination: {host: web}}]"))
    assert causes(found) == ["nearest-route"]


def test_a_delegate_is_no_second_virtual_service_of_the_host() -> None:
    rules = (
        shop("- match: [{uri: {prefix: /one}}]\n  delegate: {name: part}")
        + """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: part}
spec:
  http:
  - route: [{destination: {host: web}}]
"""
    )
    found = asked(rules, "http://shop.test.com/one")
    assert found.verdict.answered_by == "application"
    assert "merged-on-gateway" not in {each.topic for each in found.findings}


@pytest.mark.parametrize("url", ["http://x:31400/", "https://pass.test.com/"])
def test_bytes_that_are_passed_on_come_to_a_cluster_and_nothing_is_wrong(url: str) -> None:
    found = asked("", url)
    steps = {each.kind: each for each in found.steps}
    assert steps["cluster"].title == "outbound|8000||web.default.svc.cluster.local"
    assert steps["cluster"].origin.resource.startswith("VirtualService default/")
    assert len(steps["endpoint"].candidates) == 2
    assert {each.state for each in found.steps} == {State.PASSED}
    assert causes(found) == []
    assert found.verdict.certain


def test_bytes_without_an_endpoint_are_refused_at_the_endpoint() -> None:
    rules = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: none}, ports: [{name: http, port: 8000, targetPort: 80}]}
"""
    found = explain(
        World.of_files({"services.yaml": SERVICES.partition("---")[2], "rules.yaml": rules}),
        question("http://x:31400/"),
    )
    assert [each.kind for each in found.steps if each.state is State.FAILED] == ["endpoint"]
    assert found.verdict.answered_by == "nobody"


def test_the_copy_of_a_mirrored_request_is_not_its_way() -> None:
    rules = shop(
        "- mirror: {host: web, subset: v2}\n  mirrorPercentage: {value: 100}\n"
        "  route: [{destination: {host: web, subset: v1}}]"
    )
    found = asked(rules)
    assert found.steps[-1].title.startswith("web-v1-")
    assert "shadow" not in found.steps[-1].text
    cluster = next(each for each in found.steps if each.kind == "cluster")
    assert "A copy of each request goes to outbound|8000|v2|web.default.svc.cluster.local" in cluster.text


def test_a_gateway_opens_the_port_that_it_names() -> None:
    found = asked(shop("- route: [{destination: {host: web}}]"))
    listener = next(each for each in found.steps if each.kind == "listener")
    assert listener.text == "Gateway default/gw opens port 80, which is port 8080 of the pod."


# --- routes ---


ROUTES = shop("""
- match: [{uri: {exact: /one}}]
  route: [{destination: {host: web}}]
- match: [{uri: {regex: "/item/[0-9]+"}}]
  route: [{destination: {host: web}}]
- match: [{uri: {prefix: /hdr}, method: {exact: POST}, withoutHeaders: {x-no: {}}}]
  route: [{destination: {host: web}}]
""")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/item/x", 'Of 3 routes the nearest is number 2 (VirtualService default/shop rules.yaml:11)'),
        ("/hdr", 'asks for method exact "POST"; the request has "GET".'),
        ("/ONE", "They differ in case only: add ignoreUriCase: true."),
        ("/one/1", "exact takes this very path and none below it: write prefix: /one."),
    ],
)  # fmt: skip
def test_the_nearest_route_is_the_one_whose_path_comes_closest(path: str, words: str) -> None:
    assert words in the(asked(ROUTES, f"http://shop.test.com{path}"), "nearest-route").sentence


def test_a_header_that_must_not_be_there_is_said_so() -> None:
    found = asked(ROUTES, "http://shop.test.com/hdr", "x-no: 1", method="POST", via="ingressgateway")
    assert 'it wants no header x-no; the request has "1".' in the(found, "nearest-route").sentence


@pytest.mark.parametrize("path", ["/ONE", "/one/1"])
def test_a_route_that_almost_fits_is_made_to(path: str) -> None:
    url = f"http://shop.test.com{path}"
    assert mended(ROUTES, the(asked(ROUTES, url), "nearest-route"), url).verdict.answered_by == "application"


def test_every_route_that_was_tried_is_listed_however_many() -> None:
    rules = shop("\n".join(f"- match: [{{uri: {{exact: /{n}}}}}]\n  route: [{{destination: {{host: web}}}}]"
                           for n in range(20)))  # fmt: skip
    text = as_text(asked(rules, "http://shop.test.com/19"))
    assert "✘ route 19 [line" in text
    assert "✔ route 20 [line" in text


# --- hosts and gateways ---


def test_the_host_that_comes_closest_is_offered() -> None:
    found = asked(shop("- route: [{destination: {host: web}}]"), "http://shob.test.com/")
    assert the(found, "host-header").sentence.endswith("send -H 'Host: shop.test.com'.")


def test_a_wildcard_is_not_for_the_name_below_which_it_is() -> None:
    rules = shop("- route: [{destination: {host: web}}]").replace("[shop.test.com]", '["*.w.test.com"]')
    said = the(asked(rules, "http://w.test.com/"), "host-header").sentence
    assert said.endswith("*.w.test.com is for names below w.test.com, not for w.test.com.")


def test_a_gateway_that_is_not_there_is_replaced_by_the_one_that_is() -> None:
    rules = shop("- route: [{destination: {host: web}}]").replace("[gw]", "[gv]")
    finding = the(asked(rules), "gateway-unknown")
    assert finding.sentence.endswith("Write default/gw.")
    assert mended(rules, finding).verdict.answered_by == "application"


def test_a_port_that_no_gateway_opens_gets_a_server() -> None:
    services = SERVICES.replace(
        "number: 80, name: http, protocol: HTTP", "number: 31400, name: t2, protocol: TCP"
    )
    rules = shop("- route: [{destination: {host: web}}]")
    found = explain(World.of_files({"s.yaml": services, "r.yaml": rules}), question("http://shop.test.com/"))
    assert causes(found) == ["gateway-opens-other-port"]
    documents = [*yaml.safe_load_all(services), *yaml.safe_load_all(rules)]
    after = patched(documents, the(found, "gateway-opens-other-port").patch)
    world = World.of_files({"all.yaml": yaml.safe_dump_all(after)})
    assert explain(world, question("http://shop.test.com/")).verdict.answered_by == "application"


def test_a_server_name_that_nobody_serves_is_the_cause() -> None:
    found = asked("", "https://other.test.com/")
    assert causes(found) == ["server-name"]


# --- destinations ---


def test_a_subset_that_no_pod_is_for_is_replaced_by_one_that_is_there() -> None:
    rules = shop("- route: [{destination: {host: web, subset: v9}}]")
    finding = the(asked(rules), "missing-subset")
    assert finding.origin.field == "spec.http[0].route[0].destination.subset"
    assert mended(rules, finding).verdict.answered_by == "application"


def test_a_subset_without_pods_is_not_made_the_double_of_another() -> None:
    rules = shop("- route: [{destination: {host: web, subset: v3}}]")
    finding = the(asked(rules), "subset-without-pods")
    assert finding.sentence.endswith("Start pods that have it, or route to a subset that has pods (v1, v2).")
    assert mended(rules, finding).verdict.answered_by == "application"


def test_a_destination_misspelt_is_replaced_by_the_service_that_is_nearest() -> None:
    rules = shop("- route: [{destination: {host: wep}}]")
    finding = the(asked(rules), "unknown-host")
    assert finding.sentence.endswith("Did you mean web?")
    assert mended(rules, finding).verdict.answered_by == "application"


def test_a_pods_call_to_a_port_that_the_service_has_not() -> None:
    found = asked("", "http://web/", source="sleep")
    assert causes(found) == ["service-port"]
    assert the(found, "service-port").sentence == (
        "Service default/web has no port 80; it has 8000: ask http://web:8000/."
    )


def test_a_pods_call_to_a_service_that_is_not_there_is_not_foretold_an_answer() -> None:
    found = asked("", "http://wep:8000/", source="sleep")
    assert (found.verdict.status, found.verdict.flags) == (503, "UF")
    assert "Name_or_service_not_known" in found.hops[0].details
    assert the(found, "unknown-service").sentence.endswith("Did you mean web?")


# --- what a route does on purpose ---


def test_an_injected_fault_is_the_cause_and_can_be_taken_out() -> None:
    rules = shop(
        "- fault: {abort: {httpStatus: 418, percentage: {value: 100}}}\n  route: [{destination: {host: web}}]"
    )
    found = asked(rules)
    finding = the(found, "fault-injected")
    assert finding.origin.line == next(e for e in found.steps if e.kind == "fault").origin.line == 9
    assert "least-request" not in {each.topic for each in found.findings}
    assert mended(rules, finding).verdict.answered_by == "application"


def test_a_timeout_is_told() -> None:
    found = asked(shop("- timeout: 0.5s\n  route: [{destination: {host: web}}]"))
    assert the(found, "timeout").sentence.startswith(
        "The route waits 0.5 s for the whole answer, its 2 retries"
    )


# --- what is typed ---


@pytest.mark.parametrize(
    ("url", "way", "command"),
    [
        ("http://shop.test.com/", {"via": "ingressgateway"},
         "curl -i -H 'Host: shop.test.com' http://localhost:8080/"),
        ("http://localhost:8080/", {"via": "ingressgateway"}, "curl -i http://localhost:8080/"),
        ("https://pass.test.com/", {"via": "ingressgateway"},
         "curl -i -k --connect-to ::localhost:8443 https://pass.test.com/"),
    ],
)  # fmt: skip
def test_the_command_works_where_it_is_typed(url: str, way: dict[str, str], command: str) -> None:
    assert asked("", url, **way).command == command


def test_a_pods_command_is_run_in_the_pod() -> None:
    found = asked("", "http://web:8000/", source="sleep").command
    assert found.startswith("minimesh exec sleep-")
    assert found.endswith(" -- curl -i http://web:8000/")


def test_who_is_misspelt_is_guessed() -> None:
    said = asked("", "http://web:8000/", source="slep").verdict.sentence
    assert said.startswith("There is no pod 'slep'")
    assert said.endswith("Did you mean sleep?")


def test_of_a_long_patch_the_lines_that_change_are_shown() -> None:
    many = "".join(
        f"- match: [{{uri: {{exact: /{n}}}}}]\n  route: [{{destination: {{host: web}}}}]\n" for n in range(9)
    )
    found = asked(shop(f"{many}- route: [{{destination: {{host: wep}}}}]"))
    changed = [each.strip() for each in the(found, "unknown-host").change.splitlines() if each[0] in "+-"]
    assert changed == ["-        host: wep", "+        host: web"]
    text = as_text(found)
    assert "To mend it, change this" in text
    assert "exact: /3" not in text.partition("To mend it")[2]


def test_what_is_made_anew_is_all_change() -> None:
    rules = shop("- route: [{destination: {host: web, subset: v1}}]")
    services = "---".join(each for each in SERVICES.split("---") if "DestinationRule" not in each)
    found = explain(World.of_files({"s.yaml": services, "r.yaml": rules}), question("http://shop.test.com/"))
    finding = the(found, "missing-subset")
    assert finding.change == "\n".join(f"+{line}" for line in finding.patch.splitlines())


def test_a_route_of_an_envoy_filter_names_it() -> None:
    rules = (
        shop("- route: [{destination: {host: web}}]")
        + """
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: extra, namespace: istio-system}
spec:
  workloadSelector: {labels: {istio: ingressgateway}}
  configPatches:
  - applyTo: HTTP_ROUTE
    match: {context: GATEWAY, routeConfiguration: {vhost: {name: "shop.test.com:80"}}}
    patch:
      operation: INSERT_FIRST
      value: {name: added, match: {path: /added}, direct_response: {status: 206}}
"""
    )
    found = asked(rules, "http://shop.test.com/added")
    route = next(each for each in found.steps if each.kind == "route")
    assert route.origin.resource == "EnvoyFilter istio-system/extra"
    assert route.origin.field == "spec.configPatches[0]"


def test_a_rule_for_all_hosts_at_another_gateway_does_not_hide_that_none_is_for_this_one() -> None:
    other = shop("- route: [{destination: {host: web}}]").replace("[shop.test.com]", '["*"]')
    other = other.replace("name: shop", "name: all").replace("[gw]", "[elsewhere/gate]")
    rules = f"{shop('- route: [{destination: {host: web}}]')}\n---{other}"
    assert "host-header" in causes(asked(rules, "http://nobody.test.com/"))


def test_a_port_that_leads_nowhere_is_told_from_those_that_do() -> None:
    found = asked("", "http://localhost:9999/", via="ingressgateway")
    assert causes(found) == ["port-leads-nowhere"]
    assert the(found, "port-leads-nowhere").sentence == (
        "Port 9999 leads to no listener of istio-ingressgateway. For HTTP ask localhost:8080 of this "
        "machine, 31380 of the node, port 80 of the Service."
    )


def test_a_name_that_a_service_entry_declares_may_be_known() -> None:
    entry = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ledger}
spec:
  hosts: [ledger]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}]
"""
    assert asked(entry, "http://ledger/", source="sleep").verdict.answered_by == "application"
