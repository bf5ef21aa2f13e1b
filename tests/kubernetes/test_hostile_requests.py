"""Hostile requests: each is refused with a `Status`, and costs the server little."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from minimesh.config.store import Store
from minimesh.config.timestamps import timestamp
from minimesh.kubernetes.answers import MAX_BODY_BYTES
from minimesh.kubernetes.api_server import ApiServer
from minimesh.kubernetes.initial_objects import initial_objects
from minimesh.kubernetes.patching.json_patches import MAX_COPIED_BYTES, MAX_OPERATIONS, PatchError, json_patch

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
JSON, YAML = "application/json", "application/yaml"
MERGE_PATCH = "application/merge-patch+json"
APPLY, JSON_PATCH = "application/apply-patch+yaml", "application/json-patch+json"
TOO_DEEP = 150
ALIASES = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)


class Client:
    """Sends bodies as they are."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def __call__(
        self, method: str, path: str, body: bytes | str | io.BytesIO = b"", media_type: str = JSON
    ) -> tuple[int, dict[str, Any]]:
        """The status and the object of the answer."""
        headers = {"Content-Type": media_type}
        url = self._url + path
        async with self._session.request(method, url, data=body, headers=headers) as response:
            return response.status, await response.json()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    store = Store()
    for resource in initial_objects(timestamp(datetime.now(UTC))):
        store.put(resource)
    server = ApiServer(store)
    await server.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session:
            client = Client(session, server.url)
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {"a": "b"}}
            assert (await client("POST", CONFIG_MAPS, json.dumps(body)))[0] == 201
            yield client
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("method", "path", "media_type"),
    [
        ("POST", CONFIG_MAPS, JSON),
        ("POST", CONFIG_MAPS, YAML),
        ("PATCH", f"{CONFIG_MAPS}/web?fieldManager=me", APPLY),
        ("PATCH", f"{CONFIG_MAPS}/web", JSON_PATCH),
    ],
)
@pytest.mark.parametrize("depth", [TOO_DEEP, 200_000])
async def test_nesting_without_end(
    client: Client, method: str, path: str, media_type: str, depth: int
) -> None:
    status, said = await client(method, path, b'{"a":' + b"[" * depth + b"]" * depth + b"}", media_type)
    assert (status, said["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("method", "path", "media_type"),
    [("POST", CONFIG_MAPS, YAML), ("PATCH", f"{CONFIG_MAPS}/web?fieldManager=me", APPLY)],
)
async def test_aliases_of_aliases(client: Client, method: str, path: str, media_type: str) -> None:
    status, said = await client(method, path, ALIASES, media_type)
    assert status == 400
    assert "aliases counted each time they are used" in said["message"]


async def test_patches_that_nest_one_object_into_itself(client: Client) -> None:
    """Each patch is harmless by itself; together they go deeper than anything may be."""
    nest = json.dumps([{"op": "copy", "from": "/data", "path": "/data/a"}])
    answers = [await client("PATCH", f"{CONFIG_MAPS}/web", nest, JSON_PATCH) for _ in range(3)]
    assert all(status == 400 for status, _ in answers), answers


def test_copies_that_double_an_object() -> None:
    double = [{"op": "copy", "from": "/a", "path": f"/a/{number}"} for number in range(64)]
    with pytest.raises(PatchError, match=str(MAX_COPIED_BYTES)):
        json_patch({"a": {"text": "x" * 1000}}, double)


def test_more_operations_than_anybody_needs() -> None:
    with pytest.raises(PatchError, match=str(MAX_OPERATIONS)):
        json_patch({}, [{"op": "add", "path": "/a", "value": 1}] * (MAX_OPERATIONS + 1))


@pytest.mark.parametrize("index", ["\N{SUPERSCRIPT TWO}", "-1", "1" * 5000, "x"])
def test_indexes_that_are_none(index: str) -> None:
    for operation in ("remove", "replace", "add", "test"):
        with pytest.raises(PatchError):
            json_patch({"a": [1, 2, 3]}, [{"op": operation, "path": f"/a/{index}", "value": 1}])


@pytest.mark.parametrize("number", ["\N{SUPERSCRIPT TWO}", "-1", "9" * 5000, "nan", "x"])
@pytest.mark.parametrize(
    "option", ["limit", "resourceVersion", "watch=1&resourceVersion", "watch=1&timeoutSeconds"]
)
async def test_numbers_that_are_none(client: Client, option: str, number: str) -> None:
    status, said = await client("GET", f"{CONFIG_MAPS}?{option}={number}")
    assert (status, said["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize("asked", ["tailLines=x", "limitBytes=-1", "sinceSeconds=nan", "sinceTime=yesterday"])
async def test_parts_of_logs_that_are_none(client: Client, asked: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}}
    spec = {"containers": [{"name": "web", "image": "web"}]}
    assert (await client("POST", PODS, json.dumps({**pod, "spec": spec})))[0] == 201
    status, said = await client("GET", f"{PODS}/web/log?{asked}")
    assert (status, said["reason"]) == (400, "BadRequest")
    assert asked.partition("=")[0] in said["message"]


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        (
            "minReadySeconds",
            10**12,
            "number 1000000000000 into Go struct field DeploymentSpec.spec.minReadySeconds of",
        ),
        ("progressDeadlineSeconds", -1, "spec.progressDeadlineSeconds: Invalid value"),
        ("revisionHistoryLimit", -1, "spec.revisionHistoryLimit: Invalid value"),
        ("strategy", {"rollingUpdate": {"maxSurge": "\N{SUPERSCRIPT TWO}%"}}, "maxSurge: Invalid value"),
        ("strategy", {"rollingUpdate": {"maxUnavailable": "5"}}, "maxUnavailable: Invalid value"),
        ("strategy", {"rollingUpdate": {"maxSurge": -1}}, "maxSurge: Invalid value"),
        (
            "strategy",
            {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}},
            "may not be 0 when maxSurge is 0",
        ),
    ],
)
async def test_numbers_that_a_deployment_cannot_have(
    client: Client, field: str, value: object, complaint: str
) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template, field: value}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    status, said = await client("POST", DEPLOYMENTS, json.dumps(body))
    assert status in (400, 422)
    assert complaint in said["message"]


async def test_a_fault_of_the_server_is_told_as_a_status(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kubectl shows the message of a `Status`, and of anything else only that it cannot read it."""

    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("this is our own")

    monkeypatch.setattr("minimesh.kubernetes.api_server.request_info", fail)
    status, said = await client("GET", CONFIG_MAPS)
    assert (status, said["kind"], said["reason"]) == (500, "Status", "InternalError")
    assert "this is our own" in said["message"]


@pytest.mark.parametrize(("method", "path"), [("POST", CONFIG_MAPS), ("PATCH", f"{CONFIG_MAPS}/web")])
async def test_bodies_larger_than_any_object(client: Client, method: str, path: str) -> None:
    status, answer = await client(method, path, io.BytesIO(b'"' + b"x" * MAX_BODY_BYTES + b'"'), MERGE_PATCH)
    assert (status, answer["reason"]) == (413, "RequestEntityTooLarge")
