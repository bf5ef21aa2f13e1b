"""Rate limit descriptors: what a route says of a request to whoever limits.

A rule makes one descriptor, a list of keys and values; a limit is configured for such a list. A rule of which
one action finds nothing in the request makes none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from minimesh.data_plane.routing.matchers import Condition, HeaderMatcher, HeaderPresence
from minimesh.data_plane.routing.request import RequestHead

Entry = tuple[str, str]


class Subject(NamedTuple):
    """A request, as descriptors are made of it."""

    head: RequestHead
    remote_address: str
    """Of the client, without its port."""
    source_cluster: str
    """The proxy's own service cluster (its node's `cluster`)."""
    destination_cluster: str


class Descriptor(NamedTuple):
    """What a request amounts to, and how many tokens it costs."""

    entries: tuple[Entry, ...]
    hits: int = 1


class DescriptorAction(Protocol):
    """One step of a rule."""

    def entries(self, subject: Subject) -> tuple[Entry, ...] | None:
        """What it adds to the descriptor, perhaps nothing; None: there is to be no descriptor."""


@dataclass(frozen=True, slots=True)
class GenericKey:
    """A constant."""

    key: str
    value: str

    def entries(self, subject: Subject) -> tuple[Entry, ...]:
        return ((self.key, self.value),)


@dataclass(frozen=True, slots=True)
class RequestHeader:
    """The value of a header (lower case)."""

    name: str
    key: str
    skip_if_absent: bool = False

    def entries(self, subject: Subject) -> tuple[Entry, ...] | None:
        values = subject.head.header_values(self.name)
        if values:
            return ((self.key, values[0]),)
        return () if self.skip_if_absent else None


@dataclass(frozen=True, slots=True)
class RemoteAddress:
    """The client's address."""

    def entries(self, subject: Subject) -> tuple[Entry, ...] | None:
        return (("remote_address", subject.remote_address),) if subject.remote_address else None


@dataclass(frozen=True, slots=True)
class SourceCluster:
    """Who forwards."""

    def entries(self, subject: Subject) -> tuple[Entry, ...]:
        return (("source_cluster", subject.source_cluster),)


@dataclass(frozen=True, slots=True)
class DestinationCluster:
    """Where to."""

    def entries(self, subject: Subject) -> tuple[Entry, ...]:
        return (("destination_cluster", subject.destination_cluster),)


@dataclass(frozen=True, slots=True)
class ValueMatch:
    """A constant for requests that fit, or that do not."""

    key: str
    value: str
    conditions: tuple[HeaderMatcher | HeaderPresence | Condition, ...]
    expect_match: bool = True

    def entries(self, subject: Subject) -> tuple[Entry, ...] | None:
        fits = all(condition.matches(subject.head, 0) for condition in self.conditions)
        return ((self.key, self.value),) if fits is self.expect_match else None


@dataclass(frozen=True, slots=True)
class RateLimitRule:
    """One `rate_limits` entry of a route, a virtual host or a filter."""

    actions: tuple[DescriptorAction, ...]
    stage: int = 0
    hits: int = 1

    def descriptor(self, subject: Subject) -> Descriptor | None:
        entries: list[Entry] = []
        for action in self.actions:
            found = action.entries(subject)
            if found is None:
                return None
            entries += found
        return Descriptor(tuple(entries), self.hits) if entries else None


def descriptors(rules: Sequence[RateLimitRule], stage: int, subject: Subject) -> Iterator[Descriptor]:
    """What the rules of this stage make of a request."""
    for rule in rules:
        if rule.stage == stage:
            made = rule.descriptor(subject)
            if made is not None:
                yield made
