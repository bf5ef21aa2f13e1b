"""The journal: what it said is stored is found again, wherever the file was cut."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from minimesh.config import journal as journal_module
from minimesh.config.journal import HEADER, Journal, JournalError, record, replay


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "objects.journal"


def reopened(path: Path) -> dict[str, Any]:
    journal = Journal(path)
    journal.close()
    return dict(journal.values)


CHANGES: list[tuple[str, Any]] = [
    ("a", {"x": 1}),
    ("b", {"text": "line\nbreak, \N{GRINNING FACE}"}),
    ("a", {"x": 2}),
    ("b", None),
    ("c", []),
]


def test_what_was_written_is_there_again(path: Path) -> None:
    journal = Journal(path)
    for change in CHANGES:
        journal.write([change])
    journal.close()
    assert reopened(path) == {"a": {"x": 2}, "c": []}


def test_only_the_user_may_read_it(path: Path) -> None:
    Journal(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_cut_at_every_byte_it_knows_every_record_that_was_finished(path: Path) -> None:
    """What a cut leaves is the state after the last record that is whole."""
    content = HEADER
    state: dict[str, Any] = {}
    states = {len(HEADER): dict(state)}
    for key, value in CHANGES:
        content += record(key, value)
        state = {**state, key: value} if value is not None else {k: v for k, v in state.items() if k != key}
        states[len(content)] = dict(state)
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        whole = max((end for end in states if end <= length), default=0)
        journal = Journal(path)
        assert dict(journal.values) == states.get(whole, {})
        assert bool(journal.notices) == (length not in (0, *states))
        journal.write([("after", length)])
        journal.close()
        assert reopened(path) == {**states.get(whole, {}), "after": length}


@pytest.mark.parametrize("garbage", [b"\0" * 5000, b"\n\n\n", b"00000000 2 []\n", b"\xff\xfe"])
def test_a_tail_of_garbage_is_dropped_and_said(path: Path, garbage: bytes) -> None:
    path.write_bytes(HEADER + record("a", 1) + garbage)
    journal = Journal(path)
    assert dict(journal.values) == {"a": 1}
    assert [f"last {len(garbage)} bytes" in notice for notice in journal.notices] == [True]
    journal.close()
    assert path.read_bytes() == HEADER + record("a", 1)


def test_every_flipped_byte_further_up_costs_one_record_at_most(path: Path) -> None:
    lines = [record(key, 1) for key in ("first", "second", "third")]
    content = HEADER + b"".join(lines)
    begin = len(HEADER) + len(lines[0])
    for position in range(begin, begin + len(lines[1]) - 1):
        damaged = bytearray(content)
        damaged[position] ^= 0x55
        found = replay(bytes(damaged))
        assert found.values == {"first": 1, "third": 1}
        assert found.damaged


def test_a_damaged_file_is_kept_beside_the_mended_one(path: Path) -> None:
    content = HEADER + record("a", 1)[:-3] + b"\n" + record("b", 2)
    path.write_bytes(content)
    journal = Journal(path)
    journal.close()
    kept = path.with_name("objects.journal.damaged")
    assert kept.read_bytes() == content
    assert any(str(kept) in notice for notice in journal.notices)
    assert (reopened(path), Journal(path).notices) == ({"b": 2}, ())


def test_another_kind_of_file_is_refused_and_left_alone(path: Path) -> None:
    path.write_text("apiVersion: v1\n")
    with pytest.raises(JournalError, match=r"objects\.journal cannot be read"):
        Journal(path)
    assert path.read_text() == "apiVersion: v1\n"


def test_outdated_records_do_not_pile_up(path: Path) -> None:
    journal = Journal(path)
    journal.write([("kept", "x")])
    for number in range(2000):
        journal.write([("changing", number)])
    journal.close()
    assert reopened(path) == {"kept": "x", "changing": 1999}
    assert len(path.read_bytes().splitlines()) < 2 * journal_module.COMPACT_ABOVE


def test_a_new_file_that_was_never_finished_does_not_count(path: Path) -> None:
    journal = Journal(path)
    journal.write([("a", 1)])
    journal.close()
    path.with_name("objects.journal.new").write_bytes(HEADER + record("a", 2)[:5])
    assert reopened(path) == {"a": 1}


class FullDisk:
    """Takes so many bytes more, then has no room."""

    def __init__(self, room_bytes: int) -> None:
        self.room_bytes = room_bytes
        self._write = os.write

    def write(self, descriptor: int, content: bytes | memoryview) -> int:
        taken = min(self.room_bytes, len(content))
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room_bytes -= taken
        return self._write(descriptor, bytes(content[:taken]))


def test_a_full_disk_refuses_the_change_and_harms_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = record("b", "long enough")
    for room_bytes in range(len(line)):
        path.unlink(missing_ok=True)
        journal = Journal(path)
        journal.write([("a", 1)])
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", FullDisk(room_bytes).write)
            with pytest.raises(OSError, match="No space left"):
                journal.write([("b", "long enough")])
        assert dict(journal.values) == reopened(path) == {"a": 1}
        journal.write([("c", 3)])
        journal.close()
        assert reopened(path) == {"a": 1, "c": 3}


def test_a_failed_sync_refuses_the_change(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)
    journal.write([("a", 1)])

    def failing(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(journal_module, "_sync", failing)
        with pytest.raises(OSError, match="Input/output"):
            journal.write([("b", 2)])
    assert reopened(path) == {"a": 1}
    journal.write([("c", 3)])
    journal.close()
    assert reopened(path) == {"a": 1, "c": 3}
