"""A lab as it was done once: every row's commands typed in their order, and what each of them said.

A text's commands build on each other, so they are typed in one go; what its rows promise is looked at
afterwards, in any order.
"""

from __future__ import annotations

import json
import random
import re
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.labs.lab_shell import LabShell, Ran
from tests.labs.table import ROWS

Condition = Callable[[Ran], bool]
UNTIL_S = 20.0


class Transcript:
    """A mesh, its shell, and what was said so far."""

    def __init__(self, folder: Path, here: Path) -> None:
        """`folder` is for the mesh's state; `here` is the folder in which lines are typed."""
        self.shell = LabShell(folder, here)
        # What a text calls a port -> what it is in this mesh: several run on one machine.
        self._ports = {"localhost:8080": f"localhost:{self.shell.port}"}
        self._said: dict[str, list[Ran]] = {}

    def type(self, row: str, *indices: int, times: int = 1) -> list[Ran]:
        """Type a row's commands, or those of them that are named, and keep what they say."""
        lines = ROWS[row].commands
        chosen = indices or range(len(lines))
        said = [self.run(lines[index]) for _ in range(times) for index in chosen]
        self._said.setdefault(row, []).extend(said)
        return said

    def type_until(self, row: str, shown: Condition, index: int = 0) -> Ran:
        """Type a command until it shows something, or for long enough; keep what it said last."""
        said = self.run_until(ROWS[row].commands[index], shown)
        self._said.setdefault(row, []).append(said)
        return said

    def keep(self, row: str, *said: Ran) -> None:
        """Keep what another line said as part of a row."""
        self._said.setdefault(row, []).extend(said)

    def run(self, line: str) -> Ran:
        """Type any line."""
        written = "|".join(map(re.escape, self._ports))
        try:
            return self.shell.run(re.sub(written, lambda found: self._ports[found[0]], line), limit_s=90)
        except AssertionError as error:
            return Ran(-1, "", str(error))

    def run_until(self, line: str, shown: Condition) -> Ran:
        deadline = time.monotonic() + UNTIL_S
        while True:
            said = self.run(line)
            if shown(said) or time.monotonic() > deadline:
                return said

    def give_node_port(self, written: str, service: str, port_name: str) -> None:
        """Move a Service's node port, which any mesh of this machine may have, to a free one."""
        real = str(free_node_port())
        namespace, _, name = service.partition("/")
        shown = self.shell(f"kubectl get svc {name} -n {namespace} -o json").out
        names = [each["name"] for each in json.loads(shown)["spec"]["ports"]]
        change = [
            {"op": "replace", "path": f"/spec/ports/{names.index(port_name)}/nodePort", "value": int(real)}
        ]
        self.shell(f"kubectl patch svc {name} -n {namespace} --type=json -p '{json.dumps(change)}'")
        self.replace_port(written, real)

    def replace_port(self, written: str, real: str) -> None:
        """From here on, type another port than the text does."""
        self._ports[written] = real

    def __getitem__(self, row: str) -> list[Ran]:
        """What a row's commands said; nothing where they were never typed."""
        return self._said.get(row, [])

    def out(self, row: str, index: int = 0) -> str:
        """What one of them printed; it has to have succeeded."""
        said = self[row][index]
        assert said.code == 0, said
        return said.out


def free_node_port() -> int:
    """A port of the range of node ports that nothing listens on now."""
    while True:
        port = random.randint(30000, 32767)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def showing(text: str) -> Condition:
    """That a command prints a text."""
    return lambda said: text in said.out
