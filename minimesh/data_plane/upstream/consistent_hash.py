"""Ring hash and Maglev: tables in which a request's hash finds its host, the same on every proxy.

The tables are made when hosts change and looked up for each request. Sizes, keys and the order of building
are Envoy's, so that a real Envoy with the same hosts sends the same request to the same host.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from math import ceil
from typing import NamedTuple, Protocol

from minimesh.data_plane.upstream.hashing import murmurhash2, xxhash64
from minimesh.data_plane.upstream.host import Host
from minimesh.data_plane.upstream.host_selection import HostSelection
from minimesh.data_plane.upstream.lb_settings import ConsistentHashing, HashFunction

_ALL_BITS = 0xFFFF_FFFF_FFFF_FFFF


class WeightedHost(NamedTuple):
    """A host and its share of all traffic, 0 to 1."""

    host: Host
    share: float


class HashTable(Protocol):
    """Finds a host for a hash; `attempt` above 0 asks for another one than before."""

    def find(self, hash_key: int, attempt: int) -> Host: ...


class CountedTable(HashTable, Protocol):
    """A table that says how evenly it is shared."""

    def gauges(self) -> dict[str, int]:
        """Statistics by name, without the cluster's prefix."""


def normalized(hosts: Sequence[Host], share: float = 1.0) -> list[WeightedHost]:
    """The hosts with their part of `share`, by weight."""
    total = sum(host.weight for host in hosts)
    return [WeightedHost(host, host.weight * share / total) for host in hosts]


def hash_name(host: Host, use_hostname: bool) -> bytes:
    """What places a host: `hash_key` of its metadata, else its hostname or its address."""
    labels = host.metadata.get("envoy.lb", {})
    name = labels.get("hash_key")
    if not isinstance(name, str) or not name:
        name = host.spec.hostname if use_hostname else host.name
    return name.encode()


class Ring:
    """Hosts stand at many points of a ring; a hash belongs to the next point."""

    __slots__ = ("hosts", "positions")

    def __init__(self, members: Sequence[WeightedHost], settings: ConsistentHashing) -> None:
        smallest = min(member.share for member in members)
        scale = min(ceil(smallest * settings.minimum_ring_size) / smallest, float(settings.maximum_ring_size))
        hash_of = murmurhash2 if settings.hash_function is HashFunction.MURMUR_HASH_2 else xxhash64
        points: list[tuple[int, Host]] = []
        wanted = 0.0
        for member in members:
            # A running sum over all hosts, so that fractions of a point are not lost.
            wanted += scale * member.share
            prefix = hash_name(member.host, settings.use_hostname) + b"_"
            number = 0
            while len(points) < wanted:
                points.append((hash_of(prefix + str(number).encode()), member.host))
                number += 1
        points.sort(key=lambda point: point[0])
        self.positions = [position for position, _ in points]
        self.hosts = [host for _, host in points]

    def find(self, hash_key: int, attempt: int) -> Host:
        index = bisect_left(self.positions, hash_key) + attempt
        return self.hosts[index % len(self.hosts)]

    def gauges(self) -> dict[str, int]:
        counts = Counter(self.hosts).values()
        return {
            "ring_hash_lb.size": len(self.hosts),
            "ring_hash_lb.min_hashes_per_host": min(counts),
            "ring_hash_lb.max_hashes_per_host": max(counts),
        }


class Maglev:
    """Every host has its own order in which it would like the slots; they take turns."""

    __slots__ = ("slots",)

    def __init__(self, members: Sequence[WeightedHost], settings: ConsistentHashing) -> None:
        self.slots = _maglev_slots(members, settings.table_size, settings.use_hostname)

    def find(self, hash_key: int, attempt: int) -> Host:
        if attempt:
            hash_key ^= (_ALL_BITS - attempt + 1) & _ALL_BITS
        slots = self.slots
        return slots[hash_key % len(slots)]

    def gauges(self) -> dict[str, int]:
        counts = Counter(self.slots).values()
        return {
            "maglev_lb.min_entries_per_host": min(counts),
            "maglev_lb.max_entries_per_host": max(counts),
        }


def _maglev_slots(members: Sequence[WeightedHost], size: int, use_hostname: bool) -> list[Host]:
    # In the order of names, as in Envoy: it decides who gets a slot that two want.
    members = sorted(members, key=lambda member: hash_name(member.host, use_hostname))
    names = [hash_name(member.host, use_hostname) for member in members]
    at = [xxhash64(name) % size for name in names]
    skips = [xxhash64(name, 1) % (size - 1) + 1 for name in names]
    greatest = max(member.share for member in members)
    targets = [0.0] * len(members)
    slots: list[Host | None] = [None] * size
    free, turn = size, 0
    while True:
        turn += 1
        for index, (host, share) in enumerate(members):
            if turn * share < targets[index]:
                continue
            targets[index] += greatest
            slot, skip = at[index], skips[index]
            while slots[slot] is not None:
                slot += skip
                if slot >= size:
                    slot -= size
            slots[slot] = host
            at[index] = (slot + skip) % size
            free -= 1
            if not free:
                return [host for host in slots if host is not None]


class BoundedLoad:
    """A table in front of which an overloaded host passes a request on (`hash_balance_factor`)."""

    __slots__ = ("_active_requests", "_factor_percent", "_members", "_shares", "_table")

    def __init__(
        self,
        table: HashTable,
        members: Sequence[WeightedHost],
        factor_percent: int,
        active_requests: Callable[[], int],
    ) -> None:
        self._table = table
        self._members = members
        self._shares = {member.host: member.share for member in members}
        self._factor_percent = factor_percent
        #: The requests under way in the whole cluster.
        self._active_requests = active_requests

    def find(self, hash_key: int, attempt: int) -> Host:
        first = best = self._table.find(hash_key, attempt)
        least = self._overload(first, self._shares[first])
        if least <= 1.0:
            return first
        # Others in an order of chance, the same each time for the same hash: see arXiv 1908.08762.
        order = list(self._members)
        random.Random(hash_key).shuffle(order)
        for host, share in order:
            overload = self._overload(host, share)
            if host is not first and overload <= 1.0:
                return host
            if overload < least:
                best, least = host, overload
        return best

    def _overload(self, host: Host, share: float) -> float:
        slots = ((self._active_requests() + 1) * self._factor_percent + 99) // 100
        return host.active_requests / max(ceil(slots * share), 1)


class HashBalancer:
    """The choice by a table; a request without a hash goes anywhere."""

    __slots__ = ("_random", "table")

    def __init__(self, table: HashTable, source: random.Random) -> None:
        self.table = table
        self._random = source

    def choose(self, selection: HostSelection | None = None) -> Host | None:
        if selection is None:
            return self.table.find(self._random.getrandbits(64), 0)
        hash_key = selection.hash_key
        return self.table.find(
            self._random.getrandbits(64) if hash_key is None else hash_key, selection.attempt
        )
