"""What the search for causes looks at: the world, the question, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minimesh.explain.entry import Entry
    from minimesh.explain.ladder import Verdict
    from minimesh.explain.question import Question
    from minimesh.explain.rehearsal import Hop, Rehearsal
    from minimesh.explain.world import Pod, World


@dataclass(frozen=True, slots=True)
class Situation:
    """One explained request. `entry` and `rehearsal` are None when there was no way in."""

    world: World
    question: Question
    entry: Entry | None
    rehearsal: Rehearsal | None
    verdict: Verdict

    @property
    def first(self) -> Hop | None:
        """The request at the proxy that the client talked to."""
        return self.rehearsal.hops[0] if self.rehearsal is not None and self.rehearsal.hops else None

    @property
    def pod(self) -> Pod | None:
        """The pod of that proxy."""
        return self.entry.pod if self.entry is not None else None

    @property
    def host(self) -> str:
        """The Host header without its port."""
        authority = self.question.authority
        return authority.rpartition(":")[0] if authority.rpartition(":")[2].isdigit() else authority
