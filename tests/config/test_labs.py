"""What is wrong with a lab is told where it is written: file, line, column, field, and what was meant."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from minimesh.config.decoding import decode
from minimesh.config.json_nodes import read_json

LABS = sorted((Path(__file__).parents[2] / "configs").glob("*/lab.yaml"))
HEAD = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: mine
  labels: {minimesh.dev/lab: "true"}
data:
  title: Mine
"""


def told(steps: str) -> list[str]:
    """The findings about a lab with these steps."""
    text = HEAD + "  steps: |\n" + "".join(f"    {line}\n" for line in steps.splitlines())
    return [str(each) for each in decode(text, "lab.yaml").diagnostics]


@pytest.mark.parametrize("file", LABS, ids=lambda file: file.parent.name)
def test_nothing_is_said_of_the_labs_of_this_repository(file: Path) -> None:
    assert decode(file.read_text(), str(file)).diagnostics == ()


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ("- title: a\n  chekc: {}", "10:7: error: data.steps[0].chekc: unknown; known are id, title, text, "),
        (
            "- title: a\n  check: {status: '200'}",
            "10:23: error: data.steps[0].check.status: must be a whole n",
        ),
        (
            "- title: a\n  check: {status: 20}",
            "10:23: error: data.steps[0].check.status: must be a whole number",
        ),
        (
            "- title: a\n  check: {at_least: no}",
            "10:25: error: data.steps[0].check.at_least: must be a whole n",
        ),
        (
            "- title: a\n  check: {atLeast: 2}",
            "10:15: error: data.steps[0].check.atLeast: unknown; known are st",
        ),
        (
            "- title: a\n  check: {flag: NO}",
            "10:21: error: data.steps[0].check.flag: must be a text, not the bool",
        ),
        (
            "- title: a\n  check: {side: inbuond}",
            "10:21: error: data.steps[0].check.side: must be one of gatew",
        ),
        (
            "- title: a\n  check: [status]",
            "10:14: error: data.steps[0].check: must be a map of conditions, not ",
        ),
        (
            "- title: a\n  request: /",
            "10:16: error: data.steps[0].request: must be a map with method, path and ",
        ),
        (
            "- title: a\n  request: {uri: /}",
            "10:17: error: data.steps[0].request.uri: unknown; known are method",
        ),
        (
            "- title: a\n  request: {headers: {Host: a}}",
            "10:26: error: data.steps[0].request.headers: must be a",
        ),
        ("- title: a\n  text: [a]", "10:13: error: data.steps[0].text: must be a text, not a list"),
        ("- title: a\n- text: b", "10:7: error: data.steps[1]: must have a title"),
        (
            "- {title: a, id: x}\n- {title: b, id: x}",
            "10:22: error: data.steps[1].id: two steps have the same id",
        ),
        ("- just words", "9:7: error: data.steps[0]: must be a map with a title, not the string"),
        ("title: a", "9:5: error: data.steps: must be a list of steps"),
        (
            "- title: a\n  text: b: c",
            "10:14: error: data.steps: not valid YAML: mapping values are not allowed",
        ),
    ],
)
def test_a_mistake_is_told_at_its_line(steps: str, found: str) -> None:
    [first, *others] = told(steps)
    assert first.startswith(f"lab.yaml:{found}")
    assert others == []


def test_what_was_meant_is_said() -> None:
    assert told("- title: a\n  check: {atLeast: 2}")[0].endswith("(did you mean at_least?)")


def test_a_lab_without_steps_says_so() -> None:
    [found] = decode(HEAD + "  step: |\n    - title: a\n", "lab.yaml").diagnostics
    assert (found.line, found.field) == (6, "data.steps")
    assert found.message.startswith("is missing")


def test_steps_that_are_no_literal_block_are_told_where_they_begin() -> None:
    [found] = decode(HEAD + "  steps: >\n    - title: a\n\n      chekc: {}\n", "lab.yaml").diagnostics
    assert (found.line, found.field) == (8, "data.steps[0].chekc")


def test_a_bomb_of_aliases_is_refused() -> None:
    levels = "\n".join(f"- &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 8))
    [found] = told("- &a0 [x]\n" + levels)
    assert "aliases counted" in found


def test_other_config_maps_may_say_what_they_like() -> None:
    assert decode(HEAD.replace("minimesh.dev/lab", "other"), "a.yaml").diagnostics == ()


def test_kubectl_is_told_the_field() -> None:
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "mine", "labels": {"minimesh.dev/lab": "true"}},
        "data": {"steps": "[{title: a, check: {status: ok}}]"},
    }
    [found] = read_json(document, "")[1]
    assert found.field == "data.steps[0].check.status"


def test_the_lab_in_the_documentation_is_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "dashboard.md").read_text()
    written = text[text.index("    apiVersion: v1\n") : text.index("    minimesh validate mylab")]
    decoded = decode(textwrap.dedent(written), "lab.yaml")
    assert decoded.diagnostics == ()
    assert [each.name for each in decoded.resources] == ["timeouts"]
