"""Coverage-guided fuzzing of HTTP/1: `python -m tests.fuzz.atheris_http1 [-max_total_time=SECONDS]`.

The first byte of an input says whether the rest is a client's or an upstream's, the second where it is cut.
An input that breaks a property is left in `.hypothesis/`: without its first two bytes it goes into `cases/`.
"""

from __future__ import annotations

import json
from pathlib import Path

import atheris

from tests.fuzz.atheris_runner import fuzz

with atheris.instrument_imports(include=["minimesh.data_plane.http"]):
    from tests.fuzz.properties import check_requests, check_response
    from tests.fuzz.wire import InMemoryProxy

CASES = Path(__file__).parent / "cases"
ORACLE = Path(__file__).parents[3] / "shared" / "oracles" / "http1" / "cases.json"
_REQUEST, _RESPONSE, _RESPONSE_TO_HEAD, _RESPONSE_AND_CLOSE = range(4)


def one_input(proxy: InMemoryProxy, data: bytes) -> None:
    """Two bytes that say what it is and where it is cut, and the bytes themselves."""
    if len(data) < 3:
        return
    kind, cuts, rest = data[0] % 4, [data[1], 3 * data[1] + 7] if data[1] else [], data[2:]
    if kind == _REQUEST:
        check_requests(proxy, rest, cuts)
    else:
        method = "HEAD" if kind == _RESPONSE_TO_HEAD else "GET"
        check_response(proxy, rest, method, cuts, kind == _RESPONSE_AND_CLOSE)


def seeds() -> list[bytes]:
    """What is known to be interesting: the cases kept here, and published ones where they are at hand."""
    found = [bytes([_REQUEST, 0]) + path.read_bytes() for path in CASES.glob("*.request")]
    for kind in (_RESPONSE, _RESPONSE_TO_HEAD, _RESPONSE_AND_CLOSE):
        found += [bytes([kind, 9]) + path.read_bytes() for path in CASES.glob("*.response")]
    if ORACLE.exists():
        cases = [case["raw"].encode("latin-1") for case in json.loads(ORACLE.read_text())["cases"]]
        found += [bytes([_REQUEST, 0]) + case for case in cases]
    return found


if __name__ == "__main__":
    proxy = InMemoryProxy()
    fuzz("atheris_http1", seeds(), lambda data: one_input(proxy, data))
