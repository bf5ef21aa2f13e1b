"""Container logs: bounded, read from the end, followed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from minimesh.platform.logs import LogFollower, LogSpan, LogTimes, SpanReader, bound, last_lines


def test_a_log_beyond_its_limit_keeps_its_last_half_aside(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"".join(b"line %03d\n" % number for number in range(100)))
        assert bound(log, limit_bytes=400)
        writer.write(b"line 100\n")
    assert log.read_text() == "line 100\n"
    kept = (tmp_path / "app.log.1").read_text().splitlines()
    assert kept[-1] == "line 099"
    assert all(len(line) == len("line 000") for line in kept)
    assert sum(len(line) + 1 for line in kept) <= 200


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("one\n")
    assert not bound(log, limit_bytes=400)
    assert not bound(tmp_path / "absent.log")
    assert log.read_text() == "one\n"


def test_the_last_lines_are_read_from_the_end(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("".join(f"line {number}\n" for number in range(50_000)))
    assert list(last_lines(log, 2)) == ["line 49998", "line 49999"]
    assert list(last_lines(log, 0)) == []
    assert len(list(last_lines(log, None))) == 50_000
    assert list(last_lines(tmp_path / "absent.log", 5)) == []


def test_a_follower_gives_whole_lines_once(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    follower = LogFollower(log)
    assert follower.lines() == []
    with log.open("a") as writer:
        writer.write("one\ntw")
        writer.flush()
        assert follower.lines() == ["one"]
        writer.write("o\n")
    assert follower.lines() == ["two"]
    assert follower.lines() == []


def test_a_follower_begins_anew_when_the_log_was_cut(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("old old old\n")
    follower = LogFollower(log, from_end=True)
    log.write_text("new\n")
    assert follower.lines() == ["new"]


def test_a_follower_of_a_log_that_is_removed_goes_on_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "app.log"
    log.write_text("old\n")
    follower = LogFollower(log)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", _refuse)  # it goes between the look at its size and the reading
        assert follower.lines() == []
    assert follower.lines() == ["old"]


def _refuse(path: Path, mode: str) -> None:
    raise FileNotFoundError(path)


MORNING = datetime(2026, 1, 2, 8, tzinfo=UTC)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def span(log: Path, start: int = 0, end: int | None = None, times: LogTimes | None = None) -> SpanReader:
    return SpanReader(LogSpan(log, start, end, times or LogTimes(), lambda: False))


def texts(lines: list[tuple[datetime, str]]) -> list[str]:
    return [text for _, text in lines]


def test_a_process_log_gives_what_is_there_and_then_what_comes(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    reader = span(log)
    assert reader.lines() == []
    with log.open("a") as writer:
        writer.write("one\ntw")
        writer.flush()
        assert texts(reader.lines()) == ["one"]
        assert texts(reader.unfinished()) == ["tw"]
        writer.write("o\n")
    assert texts(reader.lines()) == ["two"]
    assert reader.unfinished() == []


def test_each_process_has_its_part_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("first\nsecond\n")
    previous, present = span(log, 0, 6), span(log, 6)
    assert (texts(previous.lines()), previous.is_over) == (["first"], True)
    assert (texts(present.lines()), present.is_over) == (["second"], False)


def test_a_line_has_the_time_of_the_first_look_that_saw_it(tmp_path: Path) -> None:
    log, times = tmp_path / "app.log", LogTimes()
    log.write_text("one\ntwo\nthree\n")
    times.note(8, MORNING)
    times.note(14, NOON)
    assert span(log, times=times).lines() == [(MORNING, "one"), (MORNING, "two"), (NOON, "three")]


def test_a_log_that_was_cut_is_read_and_timed_anew(tmp_path: Path) -> None:
    log, times = tmp_path / "app.log", LogTimes()
    log.write_text("old old old\n")
    times.note(12, MORNING)
    reader = span(log, times=times)
    reader.lines()
    log.write_text("new\n")
    times.note(4, NOON)
    assert reader.lines() == [(NOON, "new")]


def test_times_of_long_ago_are_kept_less_exactly() -> None:
    times = LogTimes()
    for number in range(1, 3 * LogTimes.MARKS_LIMIT):
        times.note(number, MORNING + timedelta(seconds=number))
    assert len(times) <= LogTimes.MARKS_LIMIT
    late = 3 * LogTimes.MARKS_LIMIT - 2
    assert times.at(late, NOON) == MORNING + timedelta(seconds=late + 1)
    assert times.at(late + 1, NOON) == NOON
