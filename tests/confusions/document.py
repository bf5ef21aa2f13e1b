"""`python -m tests.confusions.document`: writes docs/confusions.md from the scenarios."""

from __future__ import annotations

import re
from pathlib import Path

from minimesh.explain.ladder import State
from tests.confusions.scenario import BASE, Scenario, load

DOCUMENT = Path(__file__).parents[2] / "docs" / "confusions.md"
_INTRODUCTION = """\
# What Istio's users get wrong, and what explain says to it

Twenty-five confusions that come up again and again wherever people learn Istio. Each has a configuration to
try, a request, what its sender sees, and what `minimesh explain` says about it. This page is made from the
scenarios in `tests/confusions/scenarios`, whose tests hold it to what a mesh really does.

To try one, save its configuration beside the one that all of them share, and ask:

    minimesh explain GET http://shop.example.com/ --via ingressgateway --files FOLDER

or start the mesh over the folder with `minimesh up FOLDER` and leave `--files` out.

"""


def without_hashes(text: str) -> str:
    """Pods by the names of their Deployments, whose hashes change with every detail of their templates."""
    return re.sub(r"-[a-z0-9]{8,10}-[a-z0-9]{5}\b", "", text)


def document() -> str:
    """The whole page."""
    scenarios = load()
    contents = "\n".join(f"{each.number}. [{each.title}](#{_anchor(each)})" for each in scenarios)
    chapters = "\n".join(_chapter(each) for each in scenarios)
    shared = "## What all of them share\n\nUnless it says otherwise itself, a scenario has this too:\n\n"
    shared += _block(BASE, "yaml")
    return f"{_INTRODUCTION}{contents}\n\n{chapters}\n{shared}"


def _chapter(scenario: Scenario) -> str:
    explanation, finding = scenario.explanation, scenario.finding()
    assert finding is not None
    failed = next((each for each in explanation.steps if each.state is State.FAILED), None)
    code = f" Istio's analyzers know it as {finding.code}." if finding.code.startswith("IST") else ""
    parts = [
        f"## {scenario.number}. {scenario.title}\n",
        f"*{scenario.asked}*\n",
        _block(scenario.config, "yaml"),
        f"{_request(scenario)}\n",
        f"**What you see:** {without_hashes(explanation.verdict.sentence)}\n",
    ]
    if failed is not None:
        parts.append(
            f"**Where it stops:** at the {failed.kind.replace('-', ' ')}. {without_hashes(failed.text)}\n"
        )
    parts.append(f"**What explain says:** {without_hashes(finding.sentence)}{code}\n")
    if finding.patch:
        parts += ["**What mends it:**\n", _block(finding.patch, "yaml")]
    return "\n".join(parts)


def _request(scenario: Scenario) -> str:
    question = scenario.question
    where = f"from the pod `{question.source}`" if question.source else "at the ingress gateway"
    return f"**The request,** {where}: `{question.curl}`"


def _block(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```\n"


def _anchor(scenario: Scenario) -> str:
    kept = "".join(c for c in f"{scenario.number} {scenario.title}".lower() if c.isalnum() or c in " -")
    return kept.replace(" ", "-")


if __name__ == "__main__":
    DOCUMENT.write_text(document())
