"""HPACK that remembers its last header list: clients, upstreams and we ourselves repeat them.

A block that is made of nothing but references to the tables, a byte each, says the same as long as the tables
stay as they are, and changes nothing in them. So the same bytes behind such a block mean the same list, and
the same list the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hpack import Decoder, Encoder

#: The bytes that are a reference by themselves (RFC 7541, 6.1); 0xff begins one that goes on.
_NO_REFERENCE = bytes([*range(0x80), 0xFF])


def _only_references(block: bytes) -> bool:
    return len(block.translate(None, _NO_REFERENCE)) == len(block)


class MemoDecoder(Decoder):
    """See the module. The list that is given out must not be changed."""

    def __init__(self, max_header_list_size: int) -> None:
        super().__init__(max_header_list_size)
        self._last: bytes | None = None
        self._headers: Iterable[Any] = ()

    def decode(self, data: bytes, raw: bool = False) -> Iterable[Any]:
        """The header list of a block. Raises HPACKError, as the class above does."""
        if data == self._last:
            return self._headers
        self._last = None
        headers = super().decode(data, raw)
        if _only_references(data):
            self._last, self._headers = data, headers
        return headers


class MemoEncoder(Encoder):
    """See the module. Lists that are given in must not be changed afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self._last: Any = None
        self._block = b""

    def encode(self, headers: Any, huffman: bool = True) -> bytes:
        """The block of a header list."""
        if headers == self._last and not self.table_size_changes:
            return self._block
        self._last = None
        block = super().encode(headers, huffman)
        if _only_references(block):
            self._last, self._block = headers, block
        return block
