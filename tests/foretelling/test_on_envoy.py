"""Some hundred generated requests at gateways of the real Envoy: they fare as explain foretells."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from minimesh.explain.question import Question
from minimesh.explain.world import World
from tests.foretelling.foretold import Foretold, disagreements, foretold
from tests.foretelling.generation import configurations, requests
from tests.foretelling.on_envoy import running_envoy
from tests.foretelling.test_on_our_proxy import IMAGES, as_bytes, explainer_of

pytestmark = pytest.mark.slow

CONFIGURATIONS = 25
REQUESTS_EACH = 40


def drawn() -> list[tuple[str, list[Question]]]:
    """Configurations with requests, always the same: one Envoy serves them all, so nothing can be shrunk."""
    found: list[tuple[str, list[Question]]] = []
    asked = st.lists(requests(in_mesh=False), min_size=REQUESTS_EACH, max_size=REQUESTS_EACH)

    @seed(6)
    @settings(
        max_examples=CONFIGURATIONS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(configurations(), asked)
    def draw(configuration: str, questions: list[Question]) -> None:
        found.append((configuration, questions))

    draw()
    return found


async def test_some_hundred_fare_as_foretold(tmp_path: Path) -> None:
    pairs = drawn()
    worlds = [World.of_files({"generated.yaml": configuration}, IMAGES) for configuration, _ in pairs]
    proxies = [world.gateways[0].proxy for world in worlds]
    resources = [
        world.resources_of(proxy) for world, proxy in zip(worlds, proxies, strict=True) if proxy is not None
    ]
    said: dict[str, tuple[Foretold, Question]] = {}
    async with running_envoy(resources, tmp_path) as envoy:
        for number, (world, (_, questions)) in enumerate(zip(worlds, pairs, strict=True)):
            if "0.0.0.0_8080" not in resources[number].listeners:
                continue
            with explainer_of(world) as explainer:
                for at, question in enumerate(questions):
                    case = f"{number}.{at}"
                    said[case] = (foretold(explainer.explain(question, causes=False)), question)
                    await envoy.send(number, case, as_bytes(question))
        seen = await envoy.seen(len(said))
    wrong = {case: (disagreements(what, seen[case]), question) for case, (what, question) in said.items()}
    assert len(said) > CONFIGURATIONS * REQUESTS_EACH / 2
    assert {case: each for case, each in wrong.items() if each[0]} == {}
