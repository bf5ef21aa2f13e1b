"""Container logs: bounded, read from the end, followed."""

from pathlib import Path

import pytest

from minimesh.platform.logs import ContainerLogs, LogFollower, bound, last_lines


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


def test_a_followed_container_gives_what_comes_after_its_last_lines(tmp_path: Path) -> None:
    logs = ContainerLogs(lambda namespace, pod, container: tmp_path / f"{namespace}-{pod}-{container}.log")
    log = tmp_path / "default-sleep-app.log"
    log.write_text("one\ntwo\n")
    assert list(logs.last_lines("default", "sleep", "app", 1)) == ["two"]
    follower = logs.follow("default", "sleep", "app")
    with log.open("a") as writer:
        writer.write("three\n")
    assert follower.lines() == ["three"]
