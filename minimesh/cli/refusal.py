"""How a command says no."""

from __future__ import annotations

import errno

import click

from minimesh.cli.invocation import invocation


class Refusal(click.ClickException):
    """A reason in one line, and what to do about it."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        stop = "" if reason.endswith("?") else "."
        super().__init__(f"{reason}{stop} {remedy}" if remedy else reason)

    def show(self, file: object = None) -> None:
        click.echo(f"minimesh: {self.message}", err=True)


_ELSEWHERE = "Set MINIMESH_STATE to a folder that can be written."
_DISK_FULL = "Free some space there, or set MINIMESH_STATE to a folder on another disk."
_MORE_FILES = "Allow more open files: ulimit -n 4096"
_REMEDIES = {
    errno.ENOSPC: _DISK_FULL,
    errno.EDQUOT: _DISK_FULL,
    errno.EMFILE: _MORE_FILES,
    errno.ENFILE: _MORE_FILES,
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR),
        _ELSEWHERE,
    ),
}


def os_refusal(what: str, error: OSError) -> Refusal:
    """What the operating system says no to, about which file, and what helps where that is known."""
    about = f" ({error.filename})" if error.filename and str(error.filename) not in what else ""
    return Refusal(f"{what}: {error.strerror or error}{about}", _REMEDIES.get(error.errno or 0, ""))


def no_mesh() -> Refusal:
    """For commands that need a running mesh."""
    return Refusal("no mesh runs", f"Start one: {invocation('up configs/gs configs/httpbin')}")
