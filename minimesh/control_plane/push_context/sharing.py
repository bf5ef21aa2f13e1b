"""What was made for one proxy, given to all others for which it would come out the same.

Most of what proxies get is alike: two sidecars of a namespace call the same services in the same way.
Whether a part depends on a label, on the address or on nothing is not written down anywhere; it is observed.
While a part is made, the proxy is looked at through `_Observed`, which notes each fact that is asked for. A
proxy with the same facts would have led to the same result, so it gets that one.

What else a part is made from tells how long it holds. A part of a push (`of`) may look at all of the push
context, and goes with it. A lasting part (`lasting`) may look at nothing but the objects that it names as
its inputs, none of which ever changes: it is the same in every push that still has those very objects. So a
change of one VirtualService makes the routes of its hosts anew and finds all others as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")

_ABSENT = object()
#: What was asked of the proxy: an attribute, and for a mapping which key (None: all of it).
_Question = tuple[str, str | None]
#: The results by what was asked, and then by what was answered.
_Results = dict[tuple[_Question, ...], dict[tuple[Any, ...], Any]]
#: Lasting parts with their inputs, by name and the inputs' identities. Inputs are held, so that no other
#: object gets such an identity.
_Lasting = dict[tuple[Hashable, ...], tuple[tuple[Any, ...], _Results]]


class Sharing:
    """The parts of one push."""

    def __init__(self, before: Sharing | None = None) -> None:
        """`before`: of the push before, whose lasting parts may hold on. Those that nobody asks for in a
        whole push are forgotten."""
        self._parts: dict[Hashable, _Results] = {}
        self._lasting: dict[str, _Lasting] = {}
        self._older: dict[str, _Lasting] = before._lasting if before is not None else {}
        self._follow: dict[Hashable, _Results] = {}
        self._followed: dict[Hashable, tuple[_Results, frozenset[str]]] = {}
        """Parts as they were before the endpoints of these hosts changed."""

    def of(self, part: Hashable, proxy: Any, make: Callable[[Any], ResultT]) -> ResultT:
        """The part for this proxy: what `make(proxy)` returned for one of the same facts, or returns now.

        `make` must not return anything that looks at the proxy later, and nobody may change its result. Parts
        that depend on endpoints are named by tuples, those that do not by words.
        """
        return _found(self._parts.setdefault(part, {}), proxy, make)

    def following(
        self,
        part: Hashable,
        proxy: Any,
        make: Callable[[Any], ResultT],
        update: Callable[[Any, ResultT, Collection[str]], ResultT],
    ) -> ResultT:
        """As `of`, for a part of a push that depends on the endpoints of many hosts.

        `update(proxy, the part as it was, hosts)` makes it where nothing changed but the endpoints of these.
        """

        def make_or_update(seen: Any) -> ResultT:
            older, hosts = self._followed.get(part, ({}, ()))
            for questions, results in older.items():
                found = results.get(_answers(seen, questions), _ABSENT)
                if found is not _ABSENT:
                    return update(seen, found, hosts)
            return make(seen)

        return _found(self._follow.setdefault(part, {}), proxy, make_or_update)

    def lasting(
        self,
        part: Hashable,
        inputs: tuple[Any, ...],
        proxy: Any,
        make: Callable[[Any], ResultT],
        host: str = "",
    ) -> ResultT:
        """As `of`, for a part made from nothing but its name, these inputs and the proxy.

        `host`: whose endpoints are among the inputs.
        """
        key = (part, *map(id, inputs))
        known = self._lasting.setdefault(host, {})
        entry = known.get(key)
        if entry is None:
            entry = self._older.get(host, {}).get(key) or (inputs, {})
            known[key] = entry
        return _found(entry[1], proxy, make)

    def with_other_endpoints(self, hosts: Collection[str]) -> Sharing:
        """What of this holds on when the endpoints of these hosts have changed, and nothing else has.

        Parts that asked for the proxy's name looked for its own workload, which may have changed too.
        """
        carried = Sharing()
        carried._parts = {
            part: {asked: results for asked, results in known.items() if ("name", None) not in asked}
            for part, known in self._parts.items()
            if isinstance(part, str)
        }
        changed = frozenset(hosts)
        unasked = {part: (known, since | changed) for part, (known, since) in self._followed.items()}
        carried._followed = unasked | {part: (known, changed) for part, known in self._follow.items()}
        carried._lasting = {host: known for host, known in self._lasting.items() if host not in hosts}
        carried._older = {host: known for host, known in self._older.items() if host not in hosts}
        return carried


def _found(known: _Results, proxy: Any, make: Callable[[Any], ResultT]) -> ResultT:
    for questions, results in known.items():
        found = results.get(_answers(proxy, questions), _ABSENT)
        if found is not _ABSENT:
            result: ResultT = found
            return result
    observed = _Observed(proxy)
    result = make(observed)
    questions = tuple(sorted(observed.asked, key=str))
    known.setdefault(questions, {})[_answers(proxy, questions)] = result
    return result


class _Observed:
    """Stands for a proxy, and notes what is asked of it."""

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy
        self.asked: set[_Question] = set()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._proxy, name)
        if isinstance(value, Mapping):
            return _ObservedMapping(value, name, self.asked)
        self.asked.add((name, None))
        return value


class _ObservedMapping(Mapping[str, Any]):
    """Notes for each key that it was asked for, and for a look at all that it was at all."""

    def __init__(self, mapping: Mapping[str, Any], name: str, asked: set[_Question]) -> None:
        self._mapping = mapping
        self._name = name
        self._asked = asked

    def __getitem__(self, key: str) -> Any:
        self._asked.add((self._name, key))
        return self._mapping[key]

    def __iter__(self) -> Iterator[str]:
        self._asked.add((self._name, None))
        return iter(self._mapping)

    def __len__(self) -> int:
        self._asked.add((self._name, None))
        return len(self._mapping)


def _answers(proxy: Any, questions: tuple[_Question, ...]) -> tuple[Any, ...]:
    return tuple([_answer(proxy, name, key) for name, key in questions]) if questions else ()


def _answer(proxy: Any, name: str, key: str | None) -> Any:
    value = getattr(proxy, name)
    if value.__class__ is str:
        return value
    if isinstance(value, Mapping):
        value = tuple(sorted(value.items(), key=str)) if key is None else value.get(key, _ABSENT)
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


class Unshared(Sharing):
    """Makes every part for every proxy: for those whose resources are changed after they were made."""

    def of(self, part: Hashable, proxy: Any, make: Callable[[Any], ResultT]) -> ResultT:
        return make(proxy)

    def following(
        self,
        part: Hashable,
        proxy: Any,
        make: Callable[[Any], ResultT],
        update: Callable[[Any, ResultT, Collection[str]], ResultT],
    ) -> ResultT:
        return make(proxy)

    def lasting(
        self,
        part: Hashable,
        inputs: tuple[Any, ...],
        proxy: Any,
        make: Callable[[Any], ResultT],
        host: str = "",
    ) -> ResultT:
        return make(proxy)
