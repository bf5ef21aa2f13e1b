"""Conditions of objects of the Gateway API: what is said when all is well, and what when something is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from minimesh.config.kubernetes.meta import Condition


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a condition does not hold: a word for programs, and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition as decided; who writes it into an object adds times and generations."""

    type: str
    reason: str
    message: str
    holds: bool = True


def verdict(
    type_: str, fault: Fault | None, message: str, *, reason: str = "", status: bool = True
) -> Verdict:
    """A condition that holds (`status`) unless there is a fault. Its reason is its type unless given."""
    if fault is not None:
        return Verdict(type_, fault.reason, fault.message, not status)
    return Verdict(type_, reason or type_, message, status)


def written(
    verdicts: Iterable[Verdict], before: Sequence[Condition], generation: int | None, now: str
) -> tuple[Condition, ...]:
    """The conditions as an object carries them, by type.

    The time of one whose status did not change stays. Conditions of other types, which others wrote, stay.
    """
    known: Mapping[str, Condition] = {each.type: each for each in before}
    found = {each.type: each for each in before}
    for each in verdicts:
        status = "True" if each.holds else "False"
        old = known.get(each.type)
        since = old.last_transition_time if old is not None and old.status == status else now
        found[each.type] = Condition(
            type=each.type,
            status=status,
            reason=each.reason,
            message=each.message,
            observed_generation=generation,
            last_transition_time=since,
        )
    return tuple(found.values())
