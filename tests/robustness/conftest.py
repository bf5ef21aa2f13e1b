"""Robustness is measured with Linux's /proc; elsewhere these tests say so and are skipped."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def _on_linux() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("memory, descriptors and processor time are read from /proc, which only Linux has")
