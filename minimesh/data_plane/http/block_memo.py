"""The last header block of a connection, kept so that the next one need not be read again.

Clients and upstreams repeat their heads, but for a value or two (a cookie, a request id, the date). A memo
holds the bytes of the last block in pieces, cut where such values stand, and the block that was read from
them, with a place for each value. Bytes that fit the pieces are that block with other values.

What a memo answers is a pure function of the bytes: it is what reading them would have given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import itemgetter

from minimesh.data_plane.http.header_block import WELL_KNOWN, Field, HeaderBlock

#: Values in place of those that vary, by number. No real value has such characters.
_PLACES = ("\0000\000", "\0001\000", "\0002\000")
#: The place of the last value of all, whatever their number.
LAST = "\000-1\000"
_PLACE = re.compile("\000(-?[0-9])\000")
#: Well-known headers that decide nothing by their value before routing: these may vary, as may all unknown
#: ones. A block that differs in any other is read for itself.
_MAY_VARY = frozenset(
    {
        "authorization", "date", "traceparent", "x-envoy-attempt-count", "x-envoy-expected-rq-timeout-ms",
        "x-envoy-upstream-service-time", "x-request-id",
    }
)  # fmt: skip
#: So many times in a row a memo may be of no use before the connection is given up as one that never repeats.
_PATIENCE = 8

Values = tuple[str, ...]


class BlockMemo:
    """See the module. `block` is what `match` found, its places to be filled with the values."""

    __slots__ = ("_first", "_misses", "_others", "_raw", "_read", "_varying", "block")

    block: HeaderBlock

    def __init__(self) -> None:
        self._raw = b""
        #: The pieces: what comes before the first varying value, and what follows each.
        self._first = b""
        self._others: tuple[bytes, ...] = ()
        self._varying: tuple[int, ...] = ()
        self._misses = 0
        self._read: HeaderBlock

    @property
    def is_empty(self) -> bool:
        """Nothing has been learnt yet."""
        return not self._raw

    def match(self, data: bytes, at: int) -> tuple[Values, int] | None:
        """The values that vary, and where the block ends; None when `data` has another block at `at`."""
        first = self._first
        if not first or not data.startswith(first, at):
            return None
        at += len(first)
        if not self._others:
            self._misses = 0
            return (), at
        values: list[str] = []
        for piece in self._others:
            end = data.find(piece, at)
            if end < 0:
                return None
            value = data[at:end].decode("latin-1")
            # A line end within means that there is a line more; blanks at the ends would have to go.
            if not value.isprintable() or value[:1] == " " or value[-1:] == " ":
                return None
            values.append(value)
            at = end + len(piece)
        self._misses = 0
        return tuple(values), at

    def learn(self, raw: bytes, block: HeaderBlock) -> None:
        """Take note of a block that was read from `raw`, which ends with the empty line."""
        if self._misses > _PATIENCE:
            return
        self._misses += 1
        varying = self._find_varying(raw, block) if self._raw else ()
        self._raw, self._read, self._varying = raw, block, varying
        self._others = ()
        if not varying:
            self._first, self.block = raw, block
            return
        pieces = _cut(raw, block, varying)
        self._first, self._others = pieces[0], pieces[1:]
        self.block = _with_places(block, varying)

    def _find_varying(self, raw: bytes, block: HeaderBlock) -> tuple[int, ...]:
        """The lines that differ from the last block's, or did before; empty when that is no pattern."""
        old, new = self._read.fields, block.fields
        if len(old) != len(new) or raw.count(b"\r\n") != len(new) + 2:
            return ()
        varying = set(self._varying)
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            if before != after:
                varying.add(index)
        if len(varying) > len(_PLACES) or any(old[index][0] != new[index][0] for index in varying):
            return ()
        names = [new[index][0] for index in varying]
        if any(name in WELL_KNOWN and name not in _MAY_VARY for name in names):
            return ()
        return tuple(sorted(varying))


def _cut(raw: bytes, block: HeaderBlock, varying: Sequence[int]) -> tuple[bytes, ...]:
    """The bytes of a block without the values of these lines; `raw` begins with a line end."""
    lines = raw.split(b"\r\n")
    pieces: list[bytes] = []
    begin = 0
    for index in varying:
        name, _, value = lines[index + 1].partition(b":")
        blanks = value[: len(value) - len(value.lstrip(b" \t"))]
        pieces.append(b"\r\n".join((*lines[begin : index + 1], name + b":" + blanks)))
        lines[index + 1] = b""
        begin = index + 1
    pieces.append(b"\r\n".join(lines[begin:]))
    return tuple(pieces)


def _with_places(block: HeaderBlock, varying: Sequence[int]) -> HeaderBlock:
    fields: list[Field] = list(block.fields)
    kept = dict(block.kept)
    for place, index in zip(_PLACES, varying, strict=False):
        name = fields[index][0]
        fields[index] = (name, place)
        if name in kept:
            kept[name] = place
    twin = HeaderBlock(tuple(fields), kept)
    twin.content_length = block.content_length
    twin.chunked = block.chunked
    return twin


def fill(text: str, values: Values) -> str:
    """`text` with the values in their places."""
    return _PLACE.sub(lambda found: values[int(found[1])], text) if "\000" in text else text


def place_number(text: str | None) -> int:
    """Which value stands in for the whole of `text`; -1: none."""
    return _PLACES.index(text) if text in _PLACES else -1


class Template:
    """Header lines with places, made ready to be filled for each message by one `%`."""

    __slots__ = ("_format", "_pick", "whole")

    def __init__(self, text: str) -> None:
        #: The lines as they are; what to take when they have no places.
        self.whole = text
        order = [int(number) for number in _PLACE.findall(text)]
        self._format = _PLACE.sub("%s", text.replace("%", "%%"))
        self._pick: Callable[[Values], Values | str] = itemgetter(*order) if order else _nothing

    def fill(self, values: Values) -> str:
        """The lines; `values` by number, the last for `LAST`."""
        return self._format % self._pick(values)


def _nothing(values: Values) -> Values:
    return ()
