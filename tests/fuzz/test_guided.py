"""The coverage-guided fuzzers for a few seconds each: they start, get somewhere, and find nothing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from tests.fuzz.profile import FACTOR

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("atheris") is None, reason="atheris is not installed: it needs Linux"
    ),
]


@pytest.mark.parametrize("name", ["atheris_http1", "atheris_http2"])
def test_a_few_seconds_without_a_finding(name: str) -> None:
    limit_s = min(20, int(4 * FACTOR))
    command = [sys.executable, "-m", f"tests.fuzz.{name}", f"-max_total_time={limit_s}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s + 60, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "DONE" in done.stderr
