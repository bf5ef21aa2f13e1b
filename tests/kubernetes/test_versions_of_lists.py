"""The protocol of lists and watches: pieces, versions that are gone, bookmarks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from minimesh.config.decoding import decode
from minimesh.config.store import Store
from minimesh.config.timestamps import timestamp
from minimesh.kubernetes import objects_api
from minimesh.kubernetes.api_server import ApiServer
from minimesh.kubernetes.initial_objects import initial_objects
from minimesh.kubernetes.pages import KEPT_SNAPSHOTS

MAPS = "/api/v1/namespaces/default/configmaps"


class Api:
    """An API server, its store, and requests to it."""

    def __init__(self, server: ApiServer, store: Store, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.store = store
        self._session = session

    def put(self, *names: str) -> None:
        for name in names:
            text = f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: default}}}}"
            self.store.put(decode(text, "").resources[0])

    async def get(self, path: str) -> dict[str, Any]:
        async with asyncio.timeout(20), self._session.get(self.server.url + path) as response:
            found: dict[str, Any] = await response.json()
            return found

    async def watch(self, path: str, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(20), self._session.get(f"{self.server.url}{path}") as response:
            return [json.loads(await response.content.readline()) for _ in range(count)]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    store = Store()
    for resource in initial_objects(timestamp(datetime.now(UTC))):
        store.put(resource)
    server = ApiServer(store)
    await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        yield Api(server, store, session)
    await server.stop()


def names(listed: dict[str, Any]) -> list[str]:
    return [each["metadata"]["name"] for each in listed["items"]]


async def test_a_list_comes_in_pieces_of_one_moment(api: Api) -> None:
    api.put("a", "b", "c")
    first = await api.get(f"{MAPS}?limit=2")
    api.put("aa")
    assert names(first) == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 1
    rest = await api.get(f"{MAPS}?limit=2&continue={first['metadata']['continue']}")
    assert names(rest) == ["c"]
    assert "continue" not in rest["metadata"]
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_who_comes_too_late_for_the_rest_begins_again(api: Api) -> None:
    api.put("a", "b")
    first = await api.get(f"{MAPS}?limit=1")
    for number in range(KEPT_SNAPSHOTS + 1):
        api.put(f"more-{number}")
        await api.get(f"{MAPS}?limit=1")
    refused = await api.get(f"{MAPS}?limit=1&continue={first['metadata']['continue']}")
    assert (refused["code"], refused["reason"]) == (410, "Expired")
    assert (await api.get(f"{MAPS}?limit=1&continue=nonsense"))["code"] == 400


async def test_a_list_of_an_exact_version(api: Api) -> None:
    api.put("a")
    version = api.store.snapshot().version
    exact = f"{MAPS}?resourceVersionMatch=Exact&resourceVersion="
    assert names(await api.get(f"{exact}{version}")) == ["a"]
    api.put("b")
    refused = await api.get(f"{exact}{version}")
    assert (refused["code"], refused["reason"]) == (410, "Expired")


async def test_a_list_not_older_than_a_version_that_never_was(api: Api) -> None:
    refused = await api.get(f"{MAPS}?resourceVersionMatch=NotOlderThan&resourceVersion=999999")
    assert (refused["code"], refused["reason"]) == (504, "Timeout")
    assert refused["message"].startswith("Too large resource version: 999999, current: ")
    assert (await api.get(f"{MAPS}?resourceVersionMatch=Exact"))["code"] == 400


@pytest.mark.parametrize("version", ["1", "999999"])
async def test_a_watch_from_a_version_that_is_unknown_is_gone(api: Api, version: str) -> None:
    (error,) = await api.watch(f"{MAPS}?watch=true&resourceVersion={version}", 1)
    assert (error["type"], error["object"]["code"], error["object"]["reason"]) == ("ERROR", 410, "Expired")


async def test_a_watch_from_no_version_at_all_is_refused(api: Api) -> None:
    assert (await api.get(f"{MAPS}?watch=true&resourceVersion=yesterday"))["code"] == 400


async def test_a_quiet_watch_gets_bookmarks(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_api, "BOOKMARK_INTERVAL_S", 0.01)
    api.put("a")
    version = api.store.snapshot().version
    path = f"{MAPS}?watch=true&allowWatchBookmarks=true&resourceVersion={version}"
    (bookmark,) = await api.watch(path, 1)
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"] == {"resourceVersion": str(version)}
    assert bookmark["object"]["kind"] == "ConfigMap"


async def test_a_watch_whose_time_is_over_ends_with_a_bookmark(api: Api) -> None:
    api.put("a")
    since = api.store.snapshot().version
    path = f"{MAPS}?watch=true&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion={since}"
    assert [each["type"] for each in await api.watch(path, 1)] == ["BOOKMARK"]
