"""The image table: which command on this machine stands for a container image.

Entries come from `images.yaml` in this package and from the user's own file, whose entries win. What a
container asks for (its image, its own command) and an entry together give a `Program`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from minimesh.config.decimals import decimal
from minimesh.config.kubernetes.pod import Container

_KEYS = frozenset({"names", "entry", "command", "args", "port", "env"})


class ImageTableError(Exception):
    """The user's image table cannot be used; the text says why and where."""


class UnknownImageError(Exception):
    """The table does not say what to run for an image; the text says what to add, and where."""


@dataclass(frozen=True, slots=True)
class ImageName:
    """An image reference in its parts: `registry.example/team/app:1.0` has the path `team/app`, tag `1.0`."""

    path: tuple[str, ...]
    tag: str

    @classmethod
    def parse(cls, text: str) -> ImageName:
        reference = text.partition("@")[0]
        *folders, last = reference.split("/")
        name, _, tag = last.partition(":")
        if folders and ("." in folders[0] or ":" in folders[0] or folders[0] == "localhost"):
            folders = folders[1:]
        if folders == ["library"]:
            folders = []
        return cls((*folders, name), tag)

    def stands_for(self, wanted: ImageName) -> tuple[int, bool] | None:
        """How closely this name fits an image: more parts and a tag are closer; None: not at all."""
        if wanted.path[-len(self.path) :] != self.path or (self.tag and self.tag != wanted.tag):
            return None
        return len(self.path), bool(self.tag)


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One entry of the table; exactly one of `entry` and `command`, or neither, is given."""

    names: tuple[ImageName, ...]
    entry: str | None = None
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    port: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def runs_arguments(self) -> bool:
        """Whether the image's arguments are a command: that of a shell, or curl's."""
        return self.entry == "sleep" or (self.entry is None and not self.command)

    def fit(self, wanted: ImageName) -> tuple[int, bool] | None:
        fits = [fit for name in self.names if (fit := name.stands_for(wanted)) is not None]
        return max(fits, default=None)


@dataclass(frozen=True, slots=True)
class Program:
    """What to run for a container: an entry point of the pod parent, or a command when `entry` is None.

    `port` is the port the program listens on in a real container, if it is known to listen.
    """

    entry: str | None
    argv: tuple[str, ...]
    port: int | None
    env: Mapping[str, str]

    def arguments(self, host: str, real_port: int | None) -> tuple[str, ...]:
        """The arguments with the address and port to listen on filled in."""
        filled = {"{host}": host, "{port}": str(real_port or "")}
        return tuple(_replaced(argument, filled) for argument in self.argv)


def _replaced(argument: str, values: Mapping[str, str]) -> str:
    for placeholder, value in values.items():
        argument = argument.replace(placeholder, value)
    return argument


class ImageTable:
    """The entries that hold, the user's before ours."""

    def __init__(self, entries: Sequence[ImageEntry], user_file: Path) -> None:
        self._entries = entries
        self.user_file = user_file

    @classmethod
    def load(cls, user_file: Path | None = None) -> ImageTable:
        """Our table and the user's: `user_file`, or the file in the configuration folder if there is one.

        ImageTableError when the user's file cannot be read or makes no sense.
        """
        own = default_user_file()
        chosen = user_file or own
        entries: list[ImageEntry] = []
        if user_file is not None or own.exists():
            entries += _read_entries(chosen)
        packaged = resources.files("minimesh.platform").joinpath("images.yaml").read_text(encoding="utf-8")
        entries += _parse_entries(packaged, "images.yaml")
        return cls(entries, chosen)

    def program(self, container: Container) -> Program:
        """What to run for the container. UnknownImageError when the table does not know."""
        entry = self._find(ImageName.parse(container.image))
        if entry is None:
            raise UnknownImageError(self._how_to_add(container.image))
        if container.command:
            return _own_command(entry, (*container.command, *container.args))
        if container.args and entry.runs_arguments:
            return _own_command(entry, _with_program(container.args))
        if entry.entry is None and not entry.command:
            raise UnknownImageError(
                f"image {container.image!r} has no command of its own: "
                f"give container {container.name!r} a `command`"
            )
        if entry.entry is not None:
            return Program(entry.entry, (*entry.args, *container.args), entry.port, entry.env)
        return Program(None, (*entry.command, *entry.args, *container.args), entry.port, entry.env)

    def _find(self, wanted: ImageName) -> ImageEntry | None:
        best: tuple[tuple[int, bool], ImageEntry] | None = None
        for entry in self._entries:
            fit = entry.fit(wanted)
            if fit is not None and (best is None or fit > best[0]):
                best = fit, entry
        return best[1] if best else None

    def _how_to_add(self, image: str) -> str:
        name = "/".join(ImageName.parse(image).path)
        return (
            f"image {image!r} is not in the image table, which has {', '.join(self.known())}: "
            f"say what to run for it in {self.user_file}\n"
            f"  images:\n"
            f"  - names: [{name}]\n"
            f'    command: [/path/to/program, "--listen", "{{host}}:{{port}}"]\n'
            f"    port: 8080"
        )

    def known(self) -> Sequence[str]:
        """The names of all images that there is something to run for."""
        names = (name for entry in self._entries for name in entry.names)
        return sorted({"/".join(name.path) + (f":{name.tag}" if name.tag else "") for name in names})


def default_user_file() -> Path:
    """`~/.config/minimesh/images.yaml`, or where XDG_CONFIG_HOME says."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "minimesh" / "images.yaml"


def _with_program(arguments: Sequence[str]) -> Sequence[str]:
    """Arguments as the command they are; options alone are curl's, whose image has such an entry point."""
    return ("curl", *arguments) if arguments[0].startswith("-") else arguments


def _own_command(entry: ImageEntry, command: Sequence[str]) -> Program:
    """A container's own command, done by the demo application where that is what the command amounts to."""
    if tuple(command[:2]) == ("pipenv", "run"):
        command = command[2:] or command
    program = PurePosixPath(command[0]).name
    if program == "sleep":
        return Program("sleep", tuple(command[1:]), None, entry.env)
    if program == "gunicorn" and entry.entry is not None:
        is_logged = ("--access-logfile", "-") in itertools.pairwise(command) and entry.entry == "httpbin"
        log = ("--access-log", "gunicorn") if is_logged else ()
        return Program(entry.entry, (*entry.args, *log), _gunicorn_port(command) or entry.port, entry.env)
    return Program(None, tuple(command), entry.port, entry.env)


def _gunicorn_port(command: Sequence[str]) -> int | None:
    """The port of `-b ADDRESS:PORT`, as httpbin's manifests write it."""
    for flag, value in itertools.pairwise(command):
        if flag in ("-b", "--bind"):
            port = value.rpartition(":")[2]
            return decimal(port)
    return None


def _read_entries(file: Path) -> list[ImageEntry]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ImageTableError(f"cannot read the image table {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ImageTableError(f"the image table {file} is not UTF-8; save it in that encoding") from error
    return _parse_entries(text, str(file))


def _parse_entries(text: str, file: str) -> list[ImageEntry]:
    try:
        document = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ImageTableError(f"{file} is no valid YAML: {error}".replace("\n", " ")) from error
    rows = document.get("images") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise ImageTableError(f"{file}: expected a list under `images`")
    return [_parse_entry(row, f"{file}: images[{index}]") for index, row in enumerate(rows)]


def _parse_entry(row: Any, place: str) -> ImageEntry:
    if not isinstance(row, dict):
        raise ImageTableError(f"{place}: expected a mapping with `names` and `command`")
    unknown = sorted(set(row) - _KEYS)
    if unknown:
        raise ImageTableError(f"{place}: unknown field {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    names, command = _strings(row, "names", place), _strings(row, "command", place)
    if not names:
        raise ImageTableError(f"{place}: `names` is missing")
    port = row.get("port")
    if port is not None and (not isinstance(port, int) or not 0 < port < 65536):
        raise ImageTableError(f"{place}: `port` must be a number from 1 to 65535")
    env = row.get("env") or {}
    if not isinstance(env, dict):
        raise ImageTableError(f"{place}: `env` must be a mapping")
    return ImageEntry(
        names=tuple(ImageName.parse(name) for name in names),
        entry=row.get("entry"),
        command=command,
        args=_strings(row, "args", place),
        port=port,
        env={str(key): str(value) for key, value in env.items()},
    )


def _strings(row: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    values = row.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str | int) for value in values):
        raise ImageTableError(f"{place}: `{key}` must be a list of strings")
    return tuple(str(value) for value in values)
