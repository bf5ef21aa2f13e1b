"""Envoy's own examples of the format language: which formats are valid, and what they print."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from minimesh.data_plane.telemetry.access_log import ISTIO_DEFAULT_FORMAT, FormatError, compile_text_format
from minimesh.data_plane.telemetry.stream_info import StreamInfo

_ORACLE = Path(__file__).parents[3].parent / "shared/oracles/accesslog/cases.json"
if not _ORACLE.exists():
    pytest.skip("the oracle files are not beside this checkout", allow_module_level=True)
_CASES: dict[str, Any] = json.loads(_ORACLE.read_text())


class _Head:
    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def header_values(self, name: str) -> Sequence[str]:
        return [self._headers[name]] if name in self._headers else []


def _info(facts: Mapping[str, Any]) -> StreamInfo:
    request = facts.get("request_headers", {})
    info = StreamInfo(start_time=facts.get("start_time_us", 0) / 1e6)
    info.protocol = facts.get("protocol")
    info.method = request.get(":method")
    info.path = request.get(":path")
    info.original_path = request.get("x-envoy-original-path")
    info.request = _Head(request)
    info.response_headers = _Head(facts.get("response_headers", {}))
    info.response_trailers = _Head(facts.get("response_trailers", {}))
    return info


@pytest.mark.parametrize("case", _CASES["format_validity"], ids=lambda case: case["format"])
def test_a_format_is_accepted_exactly_when_envoy_accepts_it(case: dict[str, Any]) -> None:
    if case["envoy_1_40_accepts"]:
        compile_text_format(case["format"])
    else:
        with pytest.raises(FormatError):
            compile_text_format(case["format"])


@pytest.mark.parametrize("case", _CASES["vectors"], ids=lambda case: case["id"])
def test_a_format_prints_what_envoy_prints(case: dict[str, Any]) -> None:
    assert compile_text_format(case["format"])(_info(case["facts"])) == case["expect"]


def test_the_default_line_is_istios() -> None:
    assert _CASES["istio_default_format"] + "\n" == ISTIO_DEFAULT_FORMAT


@pytest.mark.parametrize("scenario", _CASES["live_envoy_1_40"], ids=lambda case: case["id"])
def test_every_operator_of_the_live_lines_compiles(scenario: dict[str, Any]) -> None:
    for operator in scenario["expect"]:
        compile_text_format(f"%{operator}%")
