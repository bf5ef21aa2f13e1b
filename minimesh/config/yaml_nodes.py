"""What a node of a YAML document holds.

Nodes are PyYAML's, made in `decoding`; this module reads them by their attributes and needs no YAML library.
Scalars mean what the API server's YAML reader takes them for.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

MAX_DEPTH = 100
"""Deepest nesting of a document. Published manifests stay below 20."""

MAX_NODES = 200_000
"""Most values of a document, aliases counted each time they are used."""

IS_TRUE = re.compile(r"y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON").fullmatch


class Mark(Protocol):
    """A place in the text; line and column count from 0."""

    line: int
    column: int


class Node(Protocol):
    """A value with its place. `id` is "scalar" (`value`: its text), "sequence" (`value`: a list of nodes) or
    "mapping" (`value`: a list of pairs of nodes)."""

    id: str
    tag: str
    value: Any
    start_mark: Mark


MERGE_TAG = "tag:yaml.org,2002:merge"


def scalar_kind(node: Node) -> str:
    """One of str, int, float, bool, null."""
    kind = str(node.tag).removeprefix("tag:yaml.org,2002:")
    return kind if kind in ("int", "float", "bool", "null") else "str"


def scalar(node: Node) -> Any:
    kind, text = scalar_kind(node), str(node.value)
    try:
        if kind == "int":
            return _integer(text)
        if kind == "float":
            return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:  # an explicit tag on text that is no number
        return text
    if kind == "bool":
        return bool(IS_TRUE(text))
    return None if kind == "null" else text


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    unsigned = digits.lstrip("+-")
    if re.fullmatch(r"0[0-7]+", unsigned):
        return int(digits, 8)
    return int(digits, 0)


def described(node: Node) -> str:
    """How to call a value in a message."""
    if node.id == "mapping":
        return "a map"
    if node.id == "sequence":
        return "a list"
    shown = str(node.value)
    if len(shown) > 40:
        shown = shown[:37] + "..."
    kind = scalar_kind(node)
    if kind == "null":
        return "empty"
    return {"str": f'the string "{shown}"', "bool": f"the boolean {shown}"}.get(kind, f"the number {shown}")


def is_beyond_limits(node: Node) -> bool:
    """Whether a node holds more, or is deeper, than is read of one."""
    left = MAX_NODES
    waiting: list[tuple[Node, int]] = [(node, 0)]
    while waiting:
        one, depth = waiting.pop()
        left -= 1
        if left < 0 or depth > MAX_DEPTH:
            return True
        if one.id == "sequence":
            waiting += ((each, depth + 1) for each in one.value)
        elif one.id == "mapping":
            waiting += ((value, depth + 1) for _, value in one.value)
    return False


def plain(node: Node) -> Any:
    """A node as plain Python: dict, list, and scalars. What is beyond the limits becomes None."""
    left = [MAX_NODES]

    def convert(one: Node, depth: int) -> Any:
        left[0] -= 1
        if left[0] < 0 or depth > MAX_DEPTH:
            return None
        if one.id == "sequence":
            return [convert(item, depth + 1) for item in one.value]
        if one.id != "mapping":
            return scalar(one)
        found: dict[str, Any] = {}
        for key, value in one.value:
            if key.tag == MERGE_TAG:
                inner = convert(value, depth + 1)
                for source in inner if isinstance(inner, list) else [inner]:  # the first that has a key wins
                    found = {**(source if isinstance(source, dict) else {}), **found}
            else:
                found[str(key.value)] = convert(value, depth + 1)
        return found

    return convert(node, 0)
