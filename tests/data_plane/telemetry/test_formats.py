"""Text and JSON formats beyond Envoy's own examples, as the real Envoy 1.40 printed them, and their cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from minimesh.data_plane.telemetry.access_log import (
    ISTIO_DEFAULT_FORMAT,
    FormatError,
    compile_json_format,
    compile_text_format,
    value_formatter,
)
from minimesh.data_plane.telemetry.stream_info import StreamInfo


class Head:
    """A head made of a dict."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def header_values(self, name: str) -> Sequence[str]:
        return [self._headers[name]] if name in self._headers else []


def direct_response() -> StreamInfo:
    """GET /a?b=c answered by the proxy itself."""
    info = StreamInfo(start_time=1795239298.256781, started_at=100.0)
    info.completed_at = 100.0004
    info.protocol, info.method, info.path, info.authority = "HTTP/1.1", "GET", "/a?b=c", "x"
    info.response_code, info.bytes_sent = 200, 6
    info.downstream_local_address = "127.0.0.1:29310"
    info.connection_id = 1
    info.request = Head({"x-q": 'q"\xe9\\u\tz'})
    return info


TEMPLATE: dict[str, Any] = {
    "z": "%PROTOCOL%",
    "a": "%RESPONSE_CODE%",
    "missing": "%UPSTREAM_HOST%",
    "mix": "a %UPSTREAM_HOST% %RESPONSE_CODE%",
    "nested": {"x": "%REQ(NOPE)%", "dur": "%DURATION%"},
    "list": ["%REQ(:METHOD)%", "%UPSTREAM_CLUSTER%", 3.5, 7.0],
    "num": 12.0,
    "b": True,
    "nul": None,
    "uni": 'é"%REQ(X-Q)%',
    "st": "%START_TIME%",
    "sts": "%START_TIME(%s)%",
    "flags": "%RESPONSE_FLAGS%",
    "dm": "%DYNAMIC_METADATA(foo)%",
    "xr": "%REQ(X-Q):2%",
    "e": "",
    "cid": "%CONNECTION_ID%",
    "pct": "100%%",
    "lo": ["%UPSTREAM_CLUSTER%"],
    "no": {"k": "%UPSTREAM_CLUSTER%"},
    "emptyobj": {},
    "addr": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "port": "%DOWNSTREAM_LOCAL_PORT%",
}
_UNI = '"uni":"\xc3\xa9\\"q\\u0022\\u00e9\\u005cu\\u0009z","xr":"q\\"","z":"HTTP/1.1"}\n'


def test_a_json_line_is_sorted_typed_and_keeps_nulls() -> None:
    assert compile_json_format(TEMPLATE)(direct_response()) == (
        '{"a":200,"addr":"127.0.0.1:29310","b":true,"cid":1,"dm":null,"e":"","emptyobj":{},"flags":"-",'
        '"list":["GET",null,3.5,7],"lo":[null],"missing":null,"mix":"a - 200","nested":{"dur":0,"x":null},'
        '"no":{"k":null},"nul":null,"num":12,"pct":"100%","port":29310,"st":"2026-11-21T05:34:58.256Z",'
        '"sts":"1795239298",' + _UNI
    )


def test_omit_empty_values_leaves_out_keys_items_and_empty_objects() -> None:
    assert compile_json_format(TEMPLATE, omit_empty_values=True)(direct_response()) == (
        '{"a":200,"addr":"127.0.0.1:29310","b":true,"cid":1,"e":"","flags":"-","list":["GET",3.5,7],"lo":[],'
        '"mix":"a  200","nested":{"dur":0},"num":12,"pct":"100%","port":29310,'
        '"st":"2026-11-21T05:34:58.256Z","sts":"1795239298",' + _UNI
    )


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("%REQ(X-Q)%", 'q"\xe9\\u\tz'),
        ("%START_TIME(%H:%M:%E3S %f %9f)%", "05:34:58.256 256781000 256781000"),
        ("%START_TIME(%E3f %Z %z %e %k %l)%", "256 UTC +0000 21  5  5"),
        ("%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "127.0.0.1"),
        ("%GRPC_STATUS%|%UPSTREAM_PROTOCOL%|%TRACE_ID%", "-|-|-"),
        ("%ACCESS_LOG_TYPE%", "DownstreamEnd"),
        ("é", "\xc3\xa9"),
        ("{%PROTOCOL%} \\ \"'", "{HTTP/1.1} \\ \"'"),
    ],
)
def test_a_text_format(text: str, printed: str) -> None:
    assert compile_text_format(text)(direct_response()) == printed


def test_common_durations_have_a_unit() -> None:
    info = direct_response()
    info.last_downstream_tx_at = 100.000076
    text = "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%|%COMMON_DURATION(DS_RX_BEG:US_RX_BEG:ms)%"
    assert compile_text_format(text)(info) == "76|-"


def test_the_durations_of_a_proxied_request() -> None:
    info = StreamInfo(started_at=10.0)
    info.last_downstream_rx_at, info.last_upstream_tx_at = 10.002, 10.003
    info.first_upstream_rx_at, info.last_downstream_tx_at, info.completed_at = 10.010, 10.015, 10.016
    text = "%REQUEST_DURATION% %REQUEST_TX_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION% %DURATION%"
    assert compile_text_format(text)(info) == "2 3 10 5 16"


def test_grpc_status_in_three_spellings() -> None:
    info = direct_response()
    info.request = Head({"content-type": "application/grpc+proto"})
    info.response_trailers = Head({"grpc-status": "4"})
    text = "%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)% %GRPC_STATUS_NUMBER%"
    assert compile_text_format(text)(info) == "DeadlineExceeded DEADLINE_EXCEEDED 4 4"


def test_a_grpc_call_without_grpc_status_went_as_its_http_status_says() -> None:
    info = direct_response()
    info.request = Head({"content-type": "application/grpc"})
    info.response_code = 503
    assert compile_text_format("%GRPC_STATUS%")(info) == "Unavailable"


def test_grpc_status_of_anything_but_a_grpc_call_is_none() -> None:
    info = direct_response()
    info.response_headers = Head({"grpc-status": "4"})
    assert compile_text_format("%GRPC_STATUS%")(info) == "-"


def test_metadata_is_found_by_path_and_printed_as_json_when_nested() -> None:
    info = direct_response()
    info.dynamic_metadata = {"ns": {"key": "value", "deep": {"n": 1.0, "s": "x"}}}
    info.route_metadata = {"istio": {"config": "/a"}}
    text = "%DYNAMIC_METADATA(ns:key)% %DYNAMIC_METADATA(ns:deep)% %METADATA(ROUTE:istio:config)%"
    assert compile_text_format(text)(info) == 'value {"n":1,"s":"x"} /a'


def test_a_header_value_without_a_fact_is_empty_not_a_dash() -> None:
    assert value_formatter("%UPSTREAM_HOST%")(direct_response()) == ""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("%NOT_VALID%", "Not supported field in StreamInfo: NOT_VALID"),
        ("%PROTOCOL:12%", "PROTOCOL does not take any parameters or length"),
        ("%REQ()%", "REQ requires parameters"),
        ("%REQ(X?Y?Z)%", "More than 1 alternative header specified in token: X?Y?Z"),
        ("%START_TIME:3%", "START_TIME does not allow length to be specified."),
        ("%METADATA(FOO:a)%", "FOO is not supported type of metadata"),
        ("%COMMON_DURATION(a)%", "Invalid common duration configuration: a."),
        ("a %REQ(X", "Incorrect configuration: a %REQ(X. Couldn't find valid command at position 2"),
    ],
)
def test_a_bad_format_is_refused_in_envoys_words(text: str, complaint: str) -> None:
    with pytest.raises(FormatError) as raised:
        compile_text_format(text)
    assert str(raised.value) == complaint


def test_the_default_line_of_a_routed_request() -> None:
    info = direct_response()
    info.original_path, info.path = "/one?x=1", "/ip?x=1"
    info.response_code_details, info.upstream_service_time_ms = "via_upstream", 0
    info.x_forwarded_for, info.user_agent, info.request_id = "10.0.0.1", "t", "an-id"
    info.upstream_host, info.upstream_cluster = (
        "127.0.0.1:19001",
        "outbound|8000||up",
    )
    info.upstream_local_address, info.downstream_remote_address = "127.0.0.1:5", "127.0.0.1:6"
    info.route_name = "one"
    assert compile_text_format(ISTIO_DEFAULT_FORMAT)(info) == (
        '[2026-11-21T05:34:58.256Z] "GET /one?x=1 HTTP/1.1" 200 - via_upstream - "-" 0 6 0 0 '
        '"10.0.0.1" "t" "an-id" "x" "127.0.0.1:19001" outbound|8000||up 127.0.0.1:5 127.0.0.1:29310 '
        "127.0.0.1:6 - one\n"
    )


def test_flags_are_joined_in_the_order_they_were_set_and_each_once() -> None:
    info = direct_response()
    for flag in ("URX", "UF", "URX"):
        info.add_flag(flag)
    assert compile_text_format("%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%")(info) == (
        "URX,UF UpstreamRetryLimitExceeded,UpstreamConnectionFailure"
    )
