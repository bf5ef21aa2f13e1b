"""What was made for one proxy, given to all others for which it would come out the same.

Most of what proxies get is alike: two sidecars of a namespace call the same services in the same way.
Whether a part depends on a label, on the address or on nothing is not written down anywhere; it is observed.
While a part is made, the proxy is looked at through `_Observed`, which notes each fact that is asked for. A
proxy with the same facts would have led to the same result, so it gets that one. One `Sharing` lives as long
as one push.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")

#: Parts named `(ASSIGNMENT, hostname, cluster)` depend on the endpoints of that host. Other parts whose names
#: are tuples depend on the endpoints of several, and those named by a word on those of none.
ASSIGNMENT = "assignment"

_ABSENT = object()
#: What was asked of the proxy: an attribute, and for a mapping which key (None: all of it).
_Question = tuple[str, str | None]


class Sharing:
    """The parts made so far in one push."""

    def __init__(self) -> None:
        self._parts: dict[Hashable, dict[tuple[_Question, ...], dict[tuple[Any, ...], Any]]] = {}

    def of(self, part: Hashable, proxy: Any, make: Callable[[Any], ResultT]) -> ResultT:
        """The part for this proxy: what `make(proxy)` returned for one of the same facts, or returns now.

        `make` must not return anything that looks at the proxy later, and nobody may change its result.
        """
        known = self._parts.setdefault(part, {})
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

    def without(self, parts: Callable[[Hashable], bool], fact: str) -> Sharing:
        """What of this holds on in the next push: not these parts, nor what asked for this fact."""
        carried = Sharing()
        for part, known in self._parts.items():
            if parts(part):
                continue
            carried._parts[part] = {
                questions: dict(results)
                for questions, results in known.items()
                if all(name != fact for name, _ in questions)
            }
        return carried


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
    return tuple(_answer(proxy, name, key) for name, key in questions)


def _answer(proxy: Any, name: str, key: str | None) -> Any:
    value = getattr(proxy, name)
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
