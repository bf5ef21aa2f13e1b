"""Processes that end when a test says so."""

from __future__ import annotations

import socket

from minimesh.platform.pod_parent import PodParentHandle
from minimesh.platform.pod_processes import PodProcess, PodProcesses, ProcessRequest


class Processes(PodProcesses):
    """Processes that are nothing but their start; a signal ends them at once."""

    def __init__(self) -> None:
        super().__init__(PodParentHandle(0, socket.socket()))
        self._parent.channel.close()
        self.all: list[PodProcess] = []

    async def start(self, wanted: ProcessRequest) -> PodProcess:
        process = PodProcess(self, f"{wanted.name}#{len(self.all)}")
        process.started.set_result(1000 + len(self.all))
        self.all.append(process)
        return process

    def request(self, message: object) -> None:
        assert isinstance(message, dict)
        (process,) = (each for each in self.all if each.id == message["id"])
        process.exit.set_result(-int(message["signal"]))
