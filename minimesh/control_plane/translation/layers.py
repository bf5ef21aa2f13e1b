"""Resources of one type in two layers: what many proxies have in common, and the proxy's own.

Most of what a proxy has is shared with others, down to the very mapping. Who works on it (packs, hashes,
looks for names) can do so once for each shared layer, and for each proxy only with the few of its own.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from typing import Any


class Layers(ChainMap[str, Any]):
    """By name, in order; of two with one name the shared one stays. Nobody may change any of it."""

    def __init__(self, shared: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        only = {name: each for name, each in own.items() if name not in shared}
        super().__init__(shared, only)  # type: ignore[arg-type]  # never written to

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self.shared, *self.own}))

    @property
    def shared(self) -> Mapping[str, Any]:
        return self.maps[0]

    @property
    def own(self) -> Mapping[str, Any]:
        return self.maps[1]
