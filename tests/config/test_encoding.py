"""Typed resources back to JSON: nothing that decoding gives is lost."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from minimesh.config.decoding import decode
from minimesh.config.encoding import encoded, encoded_resource
from minimesh.config.json_nodes import read_json
from minimesh.config.resources import Resource

CONFIGS = Path(__file__).parents[2] / "configs"
SAMPLES = Path(__file__).parents[3] / "shared" / "reference" / "samples"


def manifests() -> list[Path]:
    found = [*CONFIGS.rglob("*.yaml"), *SAMPLES.rglob("*.yaml")]
    return sorted(path for path in found if "crd-all" not in path.name)


def resources_of(path: Path) -> tuple[Resource, ...]:
    return decode(path.read_text(errors="replace"), path.name).resources


@pytest.mark.parametrize("path", manifests(), ids=lambda path: path.name)
def test_encoding_and_reading_again_gives_an_equal_resource(path: Path) -> None:
    for resource in resources_of(path):
        text = json.dumps(encoded_resource(resource))
        ((again,), _) = read_json(json.loads(text), "api")
        assert (again.key, again.api_version) == (resource.key, resource.api_version)
        assert again.spec == resource.spec
        assert again.metadata == resource.metadata


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (1.5, "1.5s"), (-0.5, "-0.5s"), (0.000001, "0.000001s"), (3600, "3600s")]
)
def test_durations_are_written_in_seconds(seconds: float, text: str) -> None:
    assert encoded(timedelta(seconds=seconds)) == text


def test_there_are_manifests_to_try() -> None:
    assert sum(len(resources_of(path)) for path in manifests()) > 20


def test_a_secret_is_written_as_base64() -> None:
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {k: aGVsbG8=}\n"
    (secret,) = decode(text, "s.yaml").resources
    assert encoded_resource(secret) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "default"},
        "data": {"k": "aGVsbG8="},
    }


def test_text_that_yaml_would_take_for_something_else_stays_text() -> None:
    values = {"bool": "yes", "number": "12", "null": "~", "emoji": "\N{GRINNING FACE}", "delete": "\x7f\x85"}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": values}
    ((read,), findings) = read_json(json.loads(json.dumps(document)), "api")
    assert not findings
    assert dict(read.spec.data) == values


def test_a_finding_names_the_field() -> None:
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "dtaa": {}}
    _, (finding,) = read_json(document, "api")
    assert (finding.field, finding.file) == ("dtaa", "api")
