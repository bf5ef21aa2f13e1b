"""What is freed and asked for anew costs no page faults once the allocator keeps it."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PIECES = """
import resource
def round():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [bytearray(256 * 1024) for _ in range(32)]
    for piece in pieces:
        piece[::4096] = b"x" * 64
    del pieces, piece
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
[round() for _ in range(3)]
print(min(round() for _ in range(5)))
"""
KEEPING = "from minimesh.data_plane.allocator import keep_freed_memory\nassert keep_freed_memory()\n"


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_pages_are_not_given_back_and_zeroed_anew() -> None:
    def faults(program: str) -> int:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert faults(PIECES) > 1000
    assert faults(KEEPING + PIECES) < 100
