"""Labs: what their checks take for done, and what is said of a lab.yaml that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from minimesh.config.decoding import decode
from minimesh.config.document import LAB_LABEL
from minimesh.config.resources import Resource
from minimesh.dashboard.labs import LabError, Labs, read_lab

REPOSITORY = Path(__file__).parents[2]
ENTRY: dict[str, Any] = {
    "proxy": "istio-system/istio-ingressgateway-1",
    "side": "gateway",
    "status": 200,
    "flags": [],
    "method": "GET",
    "path": "/one",
    "authority": "gs.xebia.com:8080",
    "upstream_pod": "default/gsservice-v2-1",
}


def config_map(steps: str) -> Resource:
    text = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "l", "labels": {LAB_LABEL: "true"}},
        "data": {"title": "t", "steps": steps},
    }
    (found,) = decode(json.dumps(text), "lab.yaml").resources
    return found


def labs(folder: Path, check: str) -> Labs:
    made = Labs(folder / "progress.json")
    assert made.update([config_map(f"[{{id: s, title: a step, check: {check}}}]")])
    assert not made.problems
    return made


@pytest.mark.parametrize(
    ("check", "entry", "done"),
    [
        ("{status: 200}", {}, True),
        ("{status: 404}", {}, False),
        ("{status: 404, flag: NR}", {"status": 404, "flags": [{"flag": "NR"}]}, True),
        ("{flag: NR}", {}, False),
        ("{path: /one, method: GET}", {"path": "/one/two"}, True),
        ("{host: gs.xebia.com}", {}, True),
        ("{host: other}", {}, False),
        ("{pods: gsservice-v2}", {}, True),
        ("{pods: gsservice-v1}", {}, False),
        ("{}", {"side": "inbound"}, False),
        ("{side: inbound}", {"side": "inbound"}, True),
        ("{proxy: istio-ingress}", {}, True),
        ("{at_least: 2}", {}, False),
    ],
)
def test_what_one_request_does_to_a_check(
    tmp_path: Path, check: str, entry: dict[str, Any], done: bool
) -> None:
    assert labs(tmp_path, check).take({**ENTRY, **entry}) is done


def test_a_pod_that_should_not_answer_begins_the_count_anew(tmp_path: Path) -> None:
    made = labs(tmp_path, "{pods: gsservice, never: gsservice-v1, at_least: 2}")
    v1 = {**ENTRY, "upstream_pod": "default/gsservice-v1-1"}
    assert [made.take(each) for each in (ENTRY, v1, ENTRY, ENTRY)] == [False, False, False, True]


def test_both_pods_must_have_answered(tmp_path: Path) -> None:
    made = labs(tmp_path, "{different_pods: 2}")
    other = {**ENTRY, "upstream_pod": "default/gsservice-v2-2"}
    assert [made.take(each) for each in (ENTRY, ENTRY, other)] == [False, False, True]


def test_progress_outlives_the_mesh_and_can_be_taken_back(tmp_path: Path) -> None:
    made = labs(tmp_path, "{status: 200}")
    lab = made.labs[0].id
    made.take(ENTRY)
    again = labs(tmp_path, "{status: 200}")
    assert again.labs[0].steps[0].done
    again.mark(lab, "s", done=False)
    assert not labs(tmp_path, "{status: 200}").labs[0].steps[0].done
    with pytest.raises(KeyError):
        again.mark(lab, "nothing", done=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3", "data.steps: must be a list of steps"),
        ("[{text: x}]", "steps[0]: must have a title"),
        ("[{title: x, check: {sttus: 200}}]", "steps[0].check.sttus: unknown"),
        ("[{title: x, id: a}, {title: y, id: a}]", "two steps have the same id"),
        ("[", "data.steps: not valid YAML"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(LabError) as raised:
        read_lab(config_map(text))
    assert str(raised.value).startswith("lab.yaml: ")
    assert said in str(raised.value)


def test_a_lab_that_is_wrong_leaves_the_others(tmp_path: Path) -> None:
    made = Labs(tmp_path / "progress.json")
    made.update([config_map("[")])
    assert (made.labs, len(made.problems)) == ([], 1)


def test_every_lab_of_the_repository_can_be_read() -> None:
    files = sorted((REPOSITORY / "configs").glob("*/lab.yaml"))
    assert len(files) >= 2
    for file in files:
        (found,) = decode(file.read_text(), str(file)).resources
        assert all(step.check is not None for step in read_lab(found).steps)
