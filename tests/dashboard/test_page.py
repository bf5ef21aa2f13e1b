"""The page as a person uses it, in a real browser, over a real mesh.

What it looked like at the end of each test is in build/screenshots, or in the folder that SCREENSHOTS names.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.mesh import REPOSITORY, Mesh

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LIMIT_MS = 30_000
SCREENSHOTS = Path(os.environ.get("SCREENSHOTS") or REPOSITORY / "build" / "screenshots")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    running = Mesh(tmp_path_factory.mktemp("dashboard"), ["gs", "httpbin"])
    try:
        running.console_line(r"curl .*gs\.xebia\.com")
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(mesh: Mesh, browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page, live; what it complains of on its console is a failure."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    opened = context.new_page()
    opened.set_default_timeout(LIMIT_MS)
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto(url_of(mesh))
    playwright.expect(opened.locator("#stream")).to_have_text("live", timeout=LIMIT_MS)
    yield opened
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    opened.screenshot(path=SCREENSHOTS / f"{request.node.name}.png", full_page=True)
    context.close()
    assert not problems


def url_of(mesh: Mesh) -> str:
    return mesh.command("dashboard", "--url").stdout.strip()


def send(page: Any, url: str, headers: str = "", source: str = "") -> None:
    page.fill("input[name=url]", url)
    page.fill("textarea[name=headers]", headers)
    if source:
        value = page.locator("select[name=from] option", has_text=source).get_attribute("value")
        page.select_option("select[name=from]", value)
    else:
        page.select_option("select[name=from]", "")
    page.click("#try-form button[type=submit]")


def explain(page: Any, url: str, headers: str = "") -> None:
    page.fill("input[name=url]", url)
    page.fill("textarea[name=headers]", headers)
    page.click("#explain")
    seen(page, "#flow-of", "explained, not sent")


def ingress(mesh: Mesh, path: str = "/") -> str:
    return f"http://127.0.0.1:{mesh.port}{path}"


def seen(page: Any, selector: str, text: str | re.Pattern[str]) -> None:
    playwright.expect(page.locator(selector).first).to_contain_text(text, timeout=LIMIT_MS)


# --- 1: the try bar ---


def test_a_request_is_typed_shown_as_curl_and_sent(mesh: Mesh, page: Any) -> None:
    send(page, ingress(mesh), "Host: gs.xebia.com")
    seen(page, "#curl", f"curl -i -H 'Host: gs.xebia.com' {ingress(mesh)}")
    seen(page, "#answer", "200 OK")
    seen(page, "#answer", "V2")


def test_a_request_is_sent_from_a_pod(mesh: Mesh, page: Any) -> None:
    send(page, "http://httpbin:8000/ip", source="sleep")
    seen(page, "#answer", "200 OK")
    seen(page, "#curl", re.compile(r"minimesh exec sleep-\S+ -- curl -i http://httpbin:8000/ip"))
    seen(page, "#outcome", "200 OK")


def test_the_mesh_s_own_requests_are_a_button_each(page: Any) -> None:
    page.click("#lab-requests button:has-text('/two')")
    seen(page, "#answer", "user-agent")


def test_what_cannot_be_sent_says_why(page: Any) -> None:
    send(page, "gopher://x/")
    seen(page, "#answer", "is no URL of http or https")


# --- 2 and 3: flow, ladder ---


def test_a_live_request_runs_through_the_lane_and_back(mesh: Mesh, page: Any) -> None:
    send(page, ingress(mesh, "/one"))
    seen(page, "#flow-of", "live: ")
    playwright.expect(page.locator("#lane .boxes > li.passed").first).to_be_visible()
    seen(page, "#lane .change", re.compile(r"/one\s*→\s*/ip"))
    back = page.locator("#lane .back", has_text="answers").first
    playwright.expect(back).to_contain_text(re.compile(r"200 after .*ms"))
    back.locator("summary").click()
    playwright.expect(back.locator("code")).to_contain_text("GET /one HTTP/1.1")
    application = page.locator("#lane .station").last
    playwright.expect(application.locator(".back")).to_contain_text(re.compile(r"200 after .*ms"))
    page.click("#replay")
    playwright.expect(page.locator("#lane")).to_have_class("lane playing")


def test_explaining_sends_nothing_and_names_what_is_missing(mesh: Mesh, page: Any) -> None:
    explain(page, ingress(mesh, "/nowhere"))
    seen(page, "#outcome", "404 Not Found")
    playwright.expect(page.locator("#lane .boxes > li.not-reached").first).to_be_visible()
    seen(page, "#ladder li.failed", "route")
    seen(page, "#ladder .rejected:has-text('/one')", "path")
    seen(page, "#lane .station.not-reached", "application")


def test_a_past_request_is_replayed_from_its_log_line(mesh: Mesh, page: Any) -> None:
    send(page, ingress(mesh, "/one?replayed"))
    page.locator("#lines li", has_text="/one?replayed").first.locator("button").click()
    seen(page, "#flow-of", "replayed: ")
    seen(page, "#line-fields", "%REQ(:AUTHORITY)%")


# --- 3: YAML both ways ---


def test_the_line_that_decided_is_lit_and_a_line_lights_its_decisions(mesh: Mesh, page: Any) -> None:
    explain(page, ingress(mesh, "/one"))
    seen(page, "#marks .acting", re.compile(r"hosts|destination"))
    page.locator("#ladder button.place", has_text="virtual-service.yaml").first.click()
    seen(page, "#marks .lit", re.compile(r"match|uri|prefix|http|hosts"))
    page.locator("#yaml").press("End")
    playwright.expect(page.locator("#ladder li.lit").first).to_be_attached(timeout=LIMIT_MS)
    seen(page, "#effects", re.compile(r"Line \d+ acts in"))
    page.locator("#ladder button.place", has_text="Gateway").first.click()
    page.locator("#yaml").press("End")
    seen(page, "#effects", "listener 0.0.0.0_8080")


def test_lines_that_acted_for_another_request_are_lit_no_more(mesh: Mesh, page: Any) -> None:
    explain(page, ingress(mesh, "/one"))
    seen(page, "#marks .lit", re.compile(r"uri|prefix|match"))
    source = page.locator("select[name=from] option", has_text="sleep").get_attribute("value")
    page.select_option("select[name=from]", source)
    page.fill("input[name=url]", "http://httpbin:8000/ip")
    page.click("#explain")
    seen(page, "#ladder", "httpbin.default.svc.cluster.local:8000")
    chosen = page.locator("#document option:checked")
    playwright.expect(chosen).to_contain_text("httpbin/httpbin.yaml", timeout=LIMIT_MS)
    seen(page, "#marks .lit:has-text('targetPort')", "targetPort")  # all of the Service
    playwright.expect(page.locator("#marks .lit", has_text="Deployment")).to_have_count(0)


def test_what_mends_a_request_is_shown_as_a_change(mesh: Mesh, page: Any) -> None:
    file = mesh.configs / "httpbin" / "wrong.yaml"
    file.write_text(WRONG_RULE)
    try:
        playwright.expect(page.locator("#document option", has_text="wrong.yaml")).to_be_attached(
            timeout=LIMIT_MS
        )
        explain(page, ingress(mesh), "Host: wrong.example.com")
        page.locator("#findings summary", has_text="the change that mends it").click()
        seen(page, "#findings .diff .remove", "httpbim")
        seen(page, "#findings .diff .add", "httpbin")
        seen(page, "#outcome", "NC: ")
        assert "`" not in page.locator("#outcome").inner_text()
    finally:
        file.unlink()


def test_many_hosts_that_do_not_fit_are_folded_away(mesh: Mesh, page: Any) -> None:
    source = page.locator("select[name=from] option", has_text="sleep").get_attribute("value")
    page.select_option("select[name=from]", source)
    explain(page, "http://httpbin:8000/ip")
    folded = page.locator("#ladder details", has_text="that do not fit").first
    playwright.expect(folded.locator(".rejected").first).not_to_be_visible()
    folded.locator("summary").click()
    playwright.expect(folded.locator(".rejected").first).to_be_visible()


WRONG_RULE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: wrong
spec:
  hosts: [wrong.example.com]
  gateways: [frontend-gateway]
  http:
  - route: [{destination: {host: httpbim, port: {number: 8000}}}]
"""

CALLS_OF_ITS_OWN = """
async () => {
    const { draw } = await import('./static/flow.js');
    const step = (kind, proxy) => ({ kind, proxy, title: kind, state: 'passed', text: '', candidates: [],
        before: {}, after: {}, rows: [], envoy: {} });
    const entry = (proxy, side, status, duration_ms) => ({ proxy, side, status, duration_ms, flags: [],
        times_ms: {}, line: '', method: 'GET', path: '/' + side, upstream_pod: 'default/other' });
    draw({ request: { method: 'GET', url: '/', authority: 'a' }, hops: [],
        outcome: { status: 200, answered_by: 'application', flags: [], sentence: '' },
        steps: [step('listener', 'x/gw'), step('endpoint', 'x/gw'), step('listener', 'x/page'),
                step('endpoint', 'x/page'), step('application', 'x/page')] },
        [entry('x/gw', 'gateway', 200, 70), entry('x/page', 'inbound', 200, 60),
         entry('x/page', 'outbound', 201, 5)], { onStep: () => {} });
}
"""


def test_calls_that_the_application_made_are_not_taken_for_its_answer(page: Any) -> None:
    page.uncheck("#follow")
    page.evaluate(CALLS_OF_ITS_OWN)
    station = page.locator("#lane > li", has=page.locator("h3", has_text="page")).first
    playwright.expect(station.locator(".back h4")).to_have_text("200 after 60 ms")
    seen(page, "#others summary", "one more hop with this request id")
    page.locator("#others > summary").click()
    seen(page, "#others li", "page sent GET /outbound to other: 201 after 5 ms")


SECOND_RULE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: late
spec:
  hosts: ["*"]
  gateways: [frontend-gateway]
  http:
  - match: [{uri: {exact: /one}}]
    route: [{destination: {host: httpbin-2}}]
"""


def test_rules_of_two_virtual_services_are_labelled_and_those_never_asked_struck_through(
    mesh: Mesh, page: Any
) -> None:
    file = mesh.configs / "httpbin" / "late.yaml"
    file.write_text(SECOND_RULE)
    try:
        playwright.expect(page.locator("#document option", has_text="late.yaml")).to_be_attached(
            timeout=LIMIT_MS
        )
        explain(page, ingress(mesh, "/one"))
        seen(page, "#ladder", re.compile("merged from VirtualService default/.* and VirtualService default/"))
        struck = page.locator("#ladder .unreachable .name").first.evaluate(
            "(it) => getComputedStyle(it).textDecorationLine"
        )
        assert struck == "line-through"
    finally:
        file.unlink()
        playwright.expect(page.locator("#document option", has_text="late.yaml")).not_to_be_attached(
            timeout=LIMIT_MS
        )


def test_yaml_is_changed_in_place_pushed_and_shown_as_a_difference(mesh: Mesh, page: Any) -> None:
    file = page.locator("#document option", has_text="gs/virtual-service.yaml").get_attribute("value")
    page.select_option("#document", file)
    good = page.input_value("#yaml")
    page.fill("#yaml", good.replace("weight: 100", "weight: 1", 1).replace("weight: 0", "weight: 1", 1))
    page.click("#save")
    seen(page, "#save-result", "every proxy has it after")
    seen(page, "#save-result summary", "RDS")
    page.fill("#yaml", good)
    page.click("#save")
    seen(page, "#save-result", "every proxy has it after")


def test_an_error_is_shown_at_its_line_and_changes_nothing(mesh: Mesh, page: Any) -> None:
    file = page.locator("#document option", has_text="gs/virtual-service.yaml").get_attribute("value")
    page.select_option("#document", file)
    good = page.input_value("#yaml")
    page.fill("#yaml", good.replace("hosts:", "hsots:", 1))
    page.click("#save")
    seen(page, "#save-result", "Not saved")
    seen(page, "#diagnostics", re.compile(r"line \d+ spec\.hsots: unknown field"))
    seen(page, "#marks .error", "hsots")
    page.click("#revert")
    assert page.input_value("#yaml") == good


# --- 4: live log ---


def test_the_log_is_filtered_and_explains_its_fields(mesh: Mesh, page: Any) -> None:
    send(page, ingress(mesh, "/lost"))
    send(page, ingress(mesh, "/one"))
    seen(page, "#lines", "/lost")
    page.fill("#log-filter input[name=flag]", "nr")
    playwright.expect(page.locator("#lines li", has_text="/one ")).to_have_count(0, timeout=LIMIT_MS)
    line = page.locator("#lines li", has_text="/lost").first
    playwright.expect(line.locator("em")).to_contain_text("virtual host or route")
    line.locator("[data-field=RESPONSE_FLAGS]").hover()
    seen(page, "#field-help", re.compile(r"%RESPONSE_FLAGS%.*virtual host or route"))
    line.locator("button").focus()
    page.keyboard.press("ArrowRight")
    seen(page, "#field-help", "%START_TIME%")
    page.keyboard.press("ArrowRight")
    seen(page, "#field-help", "%REQ(:METHOD)%")
    playwright.expect(page.locator("#legend li")).to_have_count(6)


# --- 5: mesh ---


def test_the_graph_and_its_tables_show_requests_at_once(mesh: Mesh, page: Any) -> None:
    send(page, ingress(mesh), "Host: gs.xebia.com")
    playwright.expect(page.locator("#graph path.busy").first).to_be_attached(timeout=LIMIT_MS)
    seen(page, "#endpoints", "gsservice-v2")
    seen(page, "#weights", "100 %")
    seen(page, "#weights", "as expected")


BOOKS = """
async () => {
    const { draw, setMesh } = await import('./static/mesh_graph.js');
    const names = ['gw', 'page', 'details', 'reviews', 'ratings', 'idle'];
    setMesh({ pods: names.map((name) => (
        { name, namespace: 'x', workload: name, ready: true, gateway: name === 'gw' })) });
    const call = (proxy, to, side) => ({ proxy: 'x/' + proxy, upstream_pod: 'x/' + to, side, status: 200,
        duration_ms: 1, at: Date.now() / 1000 });
    draw([call('gw', 'page', 'gateway'), call('page', 'details', 'outbound'),
          call('page', 'reviews', 'outbound'), call('reviews', 'ratings', 'outbound'),
          call('ratings', 'reviews', 'outbound')]);
    const graph = document.querySelector('#graph svg');
    const box = graph.viewBox.baseVal;
    const outside = [...graph.querySelectorAll('text')].map((each) => each.getBBox())
        .filter((each) => each.x < 0 || each.y < 0 || each.x + each.width > box.width
            || each.y + each.height > box.height);
    const spotOf = (node) => [node.querySelector('text').firstChild.data,
        Number(node.querySelector('rect').getAttribute('x'))];
    return [Object.fromEntries([...graph.querySelectorAll('g')].map(spotOf)), outside.length];
}
"""


def test_who_is_called_stands_behind_the_caller_and_nothing_is_cut_off(page: Any) -> None:
    spots, outside = page.evaluate(BOOKS)
    columns = sorted(set(spots.values()))
    assert {name: columns.index(x) for name, x in spots.items()} == {
        "clients": 0, "gw": 1, "page": 2, "idle": 2, "details": 3, "reviews": 3, "ratings": 4,
    }  # fmt: skip
    assert outside == 0


@pytest.mark.parametrize(
    ("expected", "count", "of", "words", "span"),
    [
        (0.9, 0, 1, "as expected", "0 to 100 %"),  # one in ten comes to the other
        (0.9, 0, 10, "outside of chance", "70 to 100 %"),
        (0.5, 469, 1000, "as expected", "46.9 to 53.1 %"),
        (0.5, 468, 1000, "outside of chance", "46.9 to 53.1 %"),
        (0.1, 500, 5000, "as expected", "9.1 to 10.9 %"),
        (0, 1, 100000, "outside of chance", "0 %"),
        (1, 3, 3, "as expected", "100 %"),
    ],
)
def test_a_share_is_judged_by_what_chance_allows(
    page: Any, expected: float, count: int, of: int, words: str, span: str
) -> None:
    module = "import('./static/traffic.js').then(({verdict}) => verdict(...given))"
    found = page.evaluate(f"(given) => {module}", [expected, count, of])
    assert (found["words"], found["range"]) == (words, span)


def test_requests_under_way_are_counted_at_their_endpoint(mesh: Mesh, page: Any) -> None:
    send(page, "http://httpbin:8000/ip", source="sleep")
    seen(page, "#answer", "200 OK")
    under_way = page.locator("#endpoints tr", has_text=re.compile("^httpbin-[^2]")).locator("td").last
    playwright.expect(under_way).to_have_text("0", timeout=LIMIT_MS)
    page.fill("input[name=url]", "http://httpbin:8000/delay/8")
    page.click("#try-form button[type=submit]")
    playwright.expect(under_way).to_have_text("1", timeout=LIMIT_MS)
    seen(page, "#answer", "/delay/8")
    playwright.expect(under_way).to_have_text("0", timeout=LIMIT_MS)


# --- 6: pushes ---


def test_every_proxy_is_listed_with_what_it_has(page: Any) -> None:
    seen(page, "#proxies", "istio-ingressgateway")
    playwright.expect(page.locator("#proxies tbody tr")).to_have_count(6, timeout=LIMIT_MS)
    playwright.expect(page.locator("#proxies .badge.good")).to_have_count(4 * 6, timeout=LIMIT_MS)


# --- 7: load ---


def test_a_load_runs_at_its_rate_and_can_be_stopped(mesh: Mesh, page: Any) -> None:
    page.fill("input[name=url]", ingress(mesh, "/one"))
    page.fill("textarea[name=headers]", "")
    page.fill("#load-form input[name=rate]", "50")
    page.fill("#load-form input[name=count]", "100000")
    page.click("#load-form button[type=submit]")
    seen(page, "#load-text", re.compile(r"200: [1-9]"))
    seen(page, "#load-shares", re.compile(r"httpbin-.*100 %.*as expected"))
    page.click("#stop-load")
    seen(page, "#load-text", "ended")


# --- 8: labs ---


def test_a_lab_s_step_is_ticked_by_the_request_that_it_asks_for(mesh: Mesh, page: Any) -> None:
    step = page.locator("#lab-list li", has_text="Everything else is nobody's")
    step.get_by_role("button", name="Send it").click()
    playwright.expect(step).to_have_class("done", timeout=LIMIT_MS)
    playwright.expect(page.locator("#lab-list li[aria-current=step]").first).to_be_visible()
    step.get_by_role("button", name="Not done").click()
    playwright.expect(step).not_to_have_class("done", timeout=LIMIT_MS)


def test_a_step_that_asks_for_many_requests_sends_them(mesh: Mesh, page: Any) -> None:
    step = page.locator("#lab-list li", has_text="See that only V2 answers")
    step.get_by_role("button", name="Send it 10 times").click()
    playwright.expect(step).to_have_class("done", timeout=LIMIT_MS)
    half = page.locator("#lab-list li", has_text="Give V1 half of the requests")
    playwright.expect(half).to_contain_text("1 of 2 pods", timeout=LIMIT_MS)
    playwright.expect(half).to_contain_text("6 of 6 requests")


def test_a_lab_s_commands_are_for_this_mesh(mesh: Mesh, page: Any) -> None:
    seen(page, "#lab-list", f"curl localhost:{mesh.port}/one")
    playwright.expect(page.locator("#lab-list")).not_to_contain_text("localhost:8080/")


TEACHERS_LAB = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: mine
  labels: {minimesh.dev/lab: "true"}
data:
  title: A teacher's own
  steps: |
    - title: Call httpbin from inside
      request: {from: sleep, url: "http://httpbin:8000/ip"}
      check: {side: outbound, proxy: sleep, status: 200}
"""


def test_a_lab_that_a_teacher_saves_is_there_and_its_request_is_sent_from_inside(
    mesh: Mesh, page: Any
) -> None:
    lab = mesh.configs / "httpbin" / "mine.yaml"
    lab.write_text(TEACHERS_LAB)
    try:
        step = page.locator("#lab-list li", has_text="Call httpbin from inside")
        step.get_by_role("button", name="Send it").click()
        playwright.expect(step).to_have_class("done", timeout=LIMIT_MS)
        seen(page, "#curl", re.compile(r"minimesh exec sleep-\S+ -- curl -i http://httpbin:8000/ip"))
    finally:
        lab.unlink()


def test_a_link_leads_to_one_lab(mesh: Mesh, page: Any) -> None:
    page.goto(url_of(mesh) + "?lab=default/gs-lab")
    seen(page, "#lab-list", "One host, two versions")
    playwright.expect(page.locator("#lab-list .lab")).to_have_count(1)
    page.goto(url_of(mesh) + "?lab=default/none")
    seen(page, "#lab-list", "no lab default/none")


# --- for everybody ---


PHONE, PROJECTOR, WIDE = 390, 1280, 1920


@pytest.mark.parametrize(
    ("theme", "width"), [("light", PHONE), ("dark", PHONE), ("light", PROJECTOR), ("dark", WIDE)]
)
def test_it_fits_every_screen_and_axe_finds_nothing(mesh: Mesh, page: Any, theme: str, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(reduced_motion="reduce")  # what is still fading in has no contrast yet
    page.set_viewport_size({"width": width, "height": 900})
    if page.locator("html").get_attribute("data-theme") != theme:
        page.click("#theme")
    send(page, ingress(mesh, "/one"))
    seen(page, "#answer", "200 OK")
    send(page, ingress(mesh, "/nowhere"))
    seen(page, "#lines", "/nowhere")
    page.locator("#lines li", has_text="/nowhere").first.locator("button").click()
    seen(page, "#line-fields", "%ROUTE_NAME%")
    page.click("#explain")
    seen(page, "#flow-of", "explained, not sent")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    assert not [(each["id"], each["nodes"][0]["html"]) for each in found]


def test_it_is_used_by_keyboard(mesh: Mesh, page: Any) -> None:
    page.fill("input[name=url]", ingress(mesh, "/two"))
    page.fill("textarea[name=headers]", "")
    page.focus("input[name=url]")
    page.keyboard.press("Enter")
    seen(page, "#answer", "200 OK")


def test_scripts_are_small() -> None:
    static = Path(__file__).parents[2] / "minimesh" / "dashboard" / "static"
    assert sum(each.stat().st_size for each in static.glob("*.js")) < 150_000
    text = "".join(each.read_text() for each in static.iterdir())
    assert not re.findall(r"https?://(?!www\.w3\.org)\S+\.(?:js|css)", text)


def test_a_broken_stream_is_said_and_mended(page: Any) -> None:
    page.route("**/api/events", lambda route: route.abort())
    page.evaluate("dispatchEvent(new Event('minimesh:reconnect'))")
    seen(page, "#stream", "connection lost")
    page.unroute("**/api/events")
    seen(page, "#stream", "live")
