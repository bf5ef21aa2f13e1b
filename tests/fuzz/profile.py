"""How long fuzzing takes: a few seconds in `make check`, as long as FUZZ_FACTOR says elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings

FACTOR = float(os.environ.get("FUZZ_FACTOR", "1"))
"""How many times as many examples as in `make check`."""


def examples(number: int) -> Callable[[Any], Any]:
    """Try so many examples, times FUZZ_FACTOR; what fails is printed in full and found again next time."""
    return settings(
        max_examples=max(1, int(number * FACTOR)),
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
