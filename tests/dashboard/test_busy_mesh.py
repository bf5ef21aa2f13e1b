"""A busy mesh, a slow or broken line: the page neither freezes nor makes anything up.

200 pods and 2,000 requests a second are told to a control plane as proxies would tell them, over gRPC.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from grpclib.client import Channel
from grpclib.const import Cardinality

from minimesh.config.decoding import decode
from minimesh.config.store import Store
from minimesh.control_plane.discovery.access_log_service import METHOD
from minimesh.control_plane.server import ControlPlane
from minimesh.dashboard.mesh_view import RunningMesh
from minimesh.dashboard.server import DashboardServer
from minimesh.xds import messages as m

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LIMIT_MS = 60_000
PODS = 200
RATE_PER_S = 2000
SECONDS = 6

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]


def pods() -> list[dict[str, Any]]:
    return [
        {
            "name": f"app-{number}-x", "namespace": "default", "workload": f"app-{number}",
            "ip": f"127.10.1.{number}", "app_address": f"127.11.1.{number}", "port_map": {},
            "labels": {"app": f"app-{number}"}, "ready": True, "state": "Running",
            "containers": [{"name": "app"}, {"name": "istio-proxy"}],
        }
        for number in range(PODS)
    ]  # fmt: skip


def documents() -> Store:
    store = Store()
    text = "\n---\n".join(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": f"app-{number}"},
                "spec": {"selector": {"app": f"app-{number}"}, "ports": [{"name": "http", "port": 80}]},
            }
        )
        for number in range(PODS)
    )
    for resource in decode(text, "").resources:
        store.put(resource)
    return store


def mesh_of(plane: ControlPlane) -> RunningMesh:
    return RunningMesh(plane, pods, ("127.0.0.1", 8080))


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[ControlPlane, DashboardServer]]:
    plane = ControlPlane(documents(), ads_port=0, debug_port=0)
    await plane.start()
    dashboard = DashboardServer(mesh_of(plane), "secret", folder / "labs.json")
    await dashboard.start("127.0.0.1", 0)
    try:
        yield plane, dashboard
    finally:
        await dashboard.stop()
        await plane.stop()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Any]:
    async with playwright.async_playwright() as started:
        browser = await started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1440, "height": 1000})
        page.set_default_timeout(LIMIT_MS)
        await page.goto(url)
        await playwright.expect(page.locator("#stream")).to_have_text("live", timeout=LIMIT_MS)
        yield page
        await browser.close()


def entry(number: int) -> Any:
    found = m.access_log_data_pb2.HTTPAccessLogEntry(protocol_version=2)
    common = found.common_properties
    common.start_time.FromNanoseconds(time.time_ns())
    common.duration.FromMilliseconds(3)
    common.upstream_cluster = f"outbound|80||app-{number % PODS}.default.svc.cluster.local"
    address = common.upstream_remote_address.socket_address
    address.address, address.port_value = f"127.10.1.{number % PODS}", 80
    found.request.request_method = m.base_pb2.GET
    found.request.path, found.request.authority = f"/{number}", "app"
    found.request.request_id = f"{number:08x}-0000-4000-8000-000000000000"
    found.response.response_code.value = 200
    return found


async def tell(port: int, seconds: int) -> None:
    """What a proxy tells of so many requests, at the rate."""
    message = m.access_log_service_pb2
    channel = Channel("127.0.0.1", port)
    try:
        async with channel.request(
            METHOD,
            Cardinality.STREAM_UNARY,
            message.StreamAccessLogsMessage,
            message.StreamAccessLogsResponse,
        ) as stream:
            await stream.send_request()
            for turn in range(seconds * 10):
                told = message.StreamAccessLogsMessage()
                told.identifier.node.id = "router~127.10.1.1~app-1-x.default~default.svc.cluster.local"
                batch = RATE_PER_S // 10
                told.http_logs.log_entry.extend(entry(turn * batch + each) for each in range(batch))
                await stream.send_message(told)
                await asyncio.sleep(0.1)
            await stream.cancel()  # nobody answers
    finally:
        channel.close()


_LONGEST_FRAME_MS = """() => new Promise((done) => {
  let last = performance.now(), longest = 0;
  const end = last + %d;
  const look = (now) => {
    longest = Math.max(longest, now - last); last = now;
    now < end ? requestAnimationFrame(look) : done(longest);
  };
  requestAnimationFrame(look);
})"""


async def test_a_busy_mesh_does_not_freeze_the_page(tmp_path: Path) -> None:
    async with served(tmp_path) as (plane, dashboard), opened(dashboard.url) as page:
        telling = asyncio.create_task(tell(plane.ads_port, SECONDS))
        longest_ms = await page.evaluate(_LONGEST_FRAME_MS % (SECONDS * 1000 - 1000))
        await playwright.expect(page.locator("#log-count")).to_contain_text("of 1000 lines")
        await playwright.expect(page.locator("#share")).to_contain_text("a busy mesh")
        # It answers its user in the midst of it.
        await page.click("#theme")
        await page.fill("#log-filter input[name=id]", "00000007")
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling
        print(f"longest frame {longest_ms:.0f} ms")
        assert longest_ms < 5000, "a person would call it frozen"


async def test_an_answer_that_takes_long_holds_up_nothing_else(tmp_path: Path) -> None:
    async with served(tmp_path) as (plane, dashboard), opened(dashboard.url) as page:
        answered = asyncio.Event()

        async def slow(route: Any) -> None:
            await answered.wait()
            await route.continue_()

        await page.route("**/api/send", slow)
        await page.click("#try-form button[type=submit]")
        telling = asyncio.create_task(tell(plane.ads_port, 1))
        await playwright.expect(page.locator("#lines li").first).to_be_visible(timeout=LIMIT_MS)
        theme = await page.locator("html").get_attribute("data-theme")
        await page.click("#theme")
        await playwright.expect(page.locator("html")).not_to_have_attribute("data-theme", theme or "")
        assert not await page.inner_text("#answer")
        answered.set()
        await playwright.expect(page.locator("#answer .badge")).to_be_visible(timeout=LIMIT_MS)
        await telling


async def test_when_the_control_plane_goes_the_page_says_so_and_when_it_is_back(tmp_path: Path) -> None:
    async with served(tmp_path) as (plane, dashboard), opened(dashboard.url) as page:
        port = int(dashboard.url.split(":")[2].split("/")[0])
        await dashboard.stop()
        await playwright.expect(page.locator("#stream")).to_contain_text("connection lost", timeout=LIMIT_MS)
        again = DashboardServer(mesh_of(plane), "secret", tmp_path / "labs.json")
        await again.start("127.0.0.1", port)
        try:
            await playwright.expect(page.locator("#stream")).to_have_text("live", timeout=LIMIT_MS)
        finally:
            await again.stop()


async def test_a_control_plane_that_says_nothing_is_called_lost(tmp_path: Path) -> None:
    """A line that is open and silent: a heartbeat is missed."""

    async def silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'event: hello\ndata: {"load": {"count": 0, "statuses": {}}}\n\n')
        await asyncio.sleep(60)
        return response

    application = web.Application()
    application.router.add_get("/events", silent)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/events"
    try:
        async with served(tmp_path) as (_, dashboard), opened(dashboard.url) as page:
            await page.route("**/api/events", lambda route: route.continue_(url=address))
            await page.reload()
            await playwright.expect(page.locator("#stream")).to_contain_text(
                "connection lost", timeout=LIMIT_MS
            )
    finally:
        await runner.cleanup()
