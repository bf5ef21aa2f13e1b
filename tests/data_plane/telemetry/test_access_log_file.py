"""Log files: batches, flushes, rotation, and who is logged at all."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from minimesh.data_plane.runtime import Fraction
from minimesh.data_plane.telemetry import access_log_filters as filters
from minimesh.data_plane.telemetry.access_log import AccessLog
from minimesh.data_plane.telemetry.access_log_file import BATCH_LINES, AccessLogFile, AccessLogFiles
from minimesh.data_plane.telemetry.stream_info import StreamInfo


def test_a_full_batch_is_written_at_once(tmp_path: Path) -> None:
    file = AccessLogFile(str(tmp_path / "log"))
    for number in range(BATCH_LINES - 1):
        file.write(f"{number}\n")
    assert (tmp_path / "log").read_text() == ""
    file.write("last\n")
    assert len((tmp_path / "log").read_text().splitlines()) == BATCH_LINES
    file.close()


async def test_a_lonely_line_is_written_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = AccessLogFile(str(tmp_path / "log"))
    written = asyncio.Event()
    flush = AccessLogFile.flush

    def note(self: AccessLogFile) -> None:
        flush(self)
        written.set()

    monkeypatch.setattr(AccessLogFile, "flush", note)
    file.write("one\n")
    await asyncio.wait_for(written.wait(), 2)
    assert (tmp_path / "log").read_text() == "one\n"
    file.close()


def test_nothing_is_lost_when_the_interpreter_ends(tmp_path: Path) -> None:
    code = (
        "import sys; from minimesh.data_plane.telemetry.access_log_file import AccessLogFile\n"
        "file = AccessLogFile(sys.argv[1]); file.write('kept\\n')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "log")], check=True)
    assert (tmp_path / "log").read_text() == "kept\n"


def test_reopening_follows_the_path(tmp_path: Path) -> None:
    files = AccessLogFiles()
    file = files.open(str(tmp_path / "log"))
    file.write("before\n")
    (tmp_path / "log").rename(tmp_path / "log.1")
    files.reopen()
    file.write("after\n")
    files.close()
    assert (tmp_path / "log.1").read_text() == "before\n"
    assert (tmp_path / "log").read_text() == "after\n"


def test_bytes_that_are_no_utf_8_come_out_as_they_came_in(tmp_path: Path) -> None:
    file = AccessLogFile(str(tmp_path / "log"))
    file.write("\xe9\n")
    file.write("\u20ac\n")
    file.close()
    assert (tmp_path / "log").read_bytes() == b"\xe9\n\xe2\x82\xac\n"


def test_one_path_is_one_file(tmp_path: Path) -> None:
    files = AccessLogFiles()
    assert files.open(str(tmp_path / "log")) is files.open(str(tmp_path / "log"))
    files.close()


def _info(code: int = 200, flags: str = "", took_ms: int = 5) -> StreamInfo:
    info = StreamInfo(started_at=1.0)
    info.response_code, info.response_flags, info.completed_at = code, flags, 1.0001 + took_ms / 1000
    return info


@pytest.mark.parametrize(
    ("accepts", "info", "logged"),
    [
        (filters.status_code("GE", 500), _info(503), True),
        (filters.status_code("GE", 500), _info(404), False),
        (filters.duration("GE", 5), _info(took_ms=5), True),
        (filters.duration("LE", 4), _info(took_ms=5), False),
        (filters.response_flags(["NR", "UF"]), _info(flags="URX,UF"), True),
        (filters.response_flags(["NR"]), _info(flags="UF"), False),
        (filters.response_flags([]), _info(flags="UF"), True),
        (filters.response_flags([]), _info(), False),
        (filters.not_health_check(), _info(), True),
        (filters.all_of([filters.not_health_check(), filters.status_code("EQ", 200)]), _info(201), False),
        (filters.any_of([filters.status_code("EQ", 200), filters.status_code("EQ", 201)]), _info(201), True),
        (filters.sampled(Fraction(0)), _info(), False),
        (filters.sampled(Fraction(100)), _info(), True),
        (filters.request_matches(lambda head: not head.header_values("x")), _info(), True),
    ],
)
def test_a_filter_decides_who_is_logged(accepts: filters.LogFilter, info: StreamInfo, logged: bool) -> None:
    lines: list[str] = []

    class Sink:
        def write(self, line: str) -> None:
            lines.append(line)

    AccessLog(lambda _: "line\n", Sink(), accepts).log(info)
    assert bool(lines) is logged
