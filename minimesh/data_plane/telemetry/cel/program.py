"""A CEL tree as one function of a stream's facts, made when configuration arrives.

Errors are exceptions here, as they are few and end the evaluation; `&&`, `||` and `?:` treat them as CEL
asks: a side that decides alone hides the other's error.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from minimesh.cel_syntax import CelError, Node, parse
from minimesh.data_plane.telemetry.access_log import LogFilter
from minimesh.data_plane.telemetry.cel.attributes import ATTRIBUTES, ROOTS, Headers
from minimesh.data_plane.telemetry.stream_info import StreamInfo

Evaluate = Callable[[StreamInfo], Any]
SearchCompiler = Callable[[str], Callable[[str], bool]]
"""An expression -> whether a text contains it; raises ValueError for what is none."""


class _EvaluationError(Exception):
    """The expression has no value for this stream."""


def compile_condition(text: str, compile_search: SearchCompiler) -> LogFilter:
    """The condition that an expression states. Raises CelError."""
    evaluate = _Compiler(compile_search).compile(parse(text))

    def accepts(info: StreamInfo) -> bool:
        try:
            return evaluate(info) is True
        except _EvaluationError:
            return False

    return accepts


class _Compiler:
    """Makes functions of nodes; one for each expression."""

    def __init__(self, compile_search: SearchCompiler) -> None:
        self._compile_search = compile_search

    def compile(self, node: Node) -> Evaluate:
        compiled: Evaluate = getattr(self, f"_{node[0]}")(*node[1:])
        return compiled

    def _literal(self, value: Any) -> Evaluate:
        return lambda info: value

    def _name(self, name: str) -> Evaluate:
        if name in ROOTS:
            raise CelError(f"{name} alone has no value; name one of its attributes")
        raise CelError(f"{name} is no attribute that is simulated")

    def _field(self, target: Node, name: str) -> Evaluate:
        path = _path(("field", target, name))
        if path is not None and path.partition(".")[0] in ROOTS:
            attribute = ATTRIBUTES.get(path)
            if attribute is not None:
                return lambda info: _present(attribute(info), path)
            if path.count(".") == 1:
                raise CelError(f"{path} is no attribute that is simulated")
        inner = self.compile(target)
        return lambda info: _entry(inner(info), name)

    def _index(self, target: Node, key: Node) -> Evaluate:
        inner, wanted = self.compile(target), self.compile(key)
        return lambda info: _entry(inner(info), wanted(info))

    def _list(self, items: tuple[Node, ...]) -> Evaluate:
        compiled = [self.compile(item) for item in items]
        return lambda info: [item(info) for item in compiled]

    def _map(self, pairs: tuple[tuple[Node, Node], ...]) -> Evaluate:
        compiled = [(self.compile(key), self.compile(value)) for key, value in pairs]
        return lambda info: {key(info): value(info) for key, value in compiled}

    def _unary(self, sign: str, node: Node) -> Evaluate:
        inner = self.compile(node)
        if sign == "!":
            return lambda info: not _as_bool(inner(info))
        return lambda info: -_as_number(inner(info))

    def _choice(self, condition: Node, then: Node, otherwise: Node) -> Evaluate:
        ask, yes, no = self.compile(condition), self.compile(then), self.compile(otherwise)
        return lambda info: yes(info) if _as_bool(ask(info)) else no(info)

    def _binary(self, sign: str, left: Node, right: Node) -> Evaluate:
        one, other = self.compile(left), self.compile(right)
        if sign in ("&&", "||"):
            return _deciding(one, other, decides=sign == "||")
        apply = _OPERATORS[sign]
        return lambda info: apply(one(info), other(info))

    def _call(self, function: str, target: Node | None, arguments: tuple[Node, ...]) -> Evaluate:
        if function == "has" and target is None and len(arguments) == 1:
            return self._has(arguments[0])
        operands = [self.compile(each) for each in ((target,) if target is not None else ()) + arguments]
        if function == "matches" and len(operands) == 2:
            return self._matches(operands[0], arguments[-1])
        known = _FUNCTIONS.get((function, len(operands)))
        if known is None:
            raise CelError(f"{function}() with {len(operands)} operands is not simulated")
        return lambda info: known(*(operand(info) for operand in operands))

    def _has(self, node: Node) -> Evaluate:
        if node[0] != "field":
            raise CelError("has() takes a field, as in has(request.headers.cookie)")
        inner = self.compile(node)

        def is_there(info: StreamInfo) -> bool:
            try:
                inner(info)
            except _EvaluationError:
                return False
            return True

        return is_there

    def _matches(self, text: Evaluate, pattern: Node) -> Evaluate:
        if pattern[0] != "literal" or not isinstance(pattern[1], str):
            raise CelError("matches() takes an expression that is written out")
        try:
            search = self._compile_search(pattern[1])
        except ValueError as error:
            raise CelError(str(error)) from None
        return lambda info: search(_as_text(text(info)))


def _path(node: Node) -> str | None:
    """`a.b.c` of nested fields; None for anything else."""
    if node[0] == "name":
        return str(node[1])
    if node[0] != "field":
        return None
    outer = _path(node[1])
    return None if outer is None else f"{outer}.{node[2]}"


def _present(value: Any, path: str) -> Any:
    if value is None:
        raise _EvaluationError(path)
    return value


def _entry(holder: Any, key: Any) -> Any:
    if isinstance(holder, Headers | Mapping) and isinstance(key, str):
        return _present(holder.get(key), key)
    if isinstance(holder, list) and isinstance(key, int) and 0 <= key < len(holder):
        return holder[key]
    raise _EvaluationError(key)


def _deciding(one: Evaluate, other: Evaluate, *, decides: bool) -> Evaluate:
    """`||` (decides: true) and `&&` (decides: false): that value on either side is the answer."""

    def evaluate(info: StreamInfo) -> bool:
        try:
            if _as_bool(one(info)) is decides:
                return decides
        except _EvaluationError:
            if _as_bool(other(info)) is decides:
                return decides
            raise
        return _as_bool(other(info))

    return evaluate


def _as_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _EvaluationError("a bool is needed")


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise _EvaluationError("a string is needed")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_number(value: Any) -> Any:
    if _is_number(value):
        return value
    raise _EvaluationError("a number is needed")


def _comparable(one: Any, other: Any) -> bool:
    kinds = (str, timedelta, datetime, bool)
    return (_is_number(one) and _is_number(other)) or any(
        isinstance(one, kind) and isinstance(other, kind) for kind in kinds
    )


def _equal(one: Any, other: Any) -> bool:
    """Values of different types are different; a number is a number."""
    return bool(one == other) and (_comparable(one, other) or type(one) is type(other))


def _ordered(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], bool]:
    def apply(one: Any, other: Any) -> bool:
        if not _comparable(one, other):
            raise _EvaluationError("no such overload")
        return bool(compare(one, other))

    return apply


def _calculated(calculate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def apply(one: Any, other: Any) -> Any:
        try:
            return calculate(_as_number(one), _as_number(other))
        except ArithmeticError:
            raise _EvaluationError("division by zero") from None

    return apply


def _divided(one: Any, other: Any) -> Any:
    """Whole numbers are divided towards zero."""
    if isinstance(one, float) or isinstance(other, float):
        return one / other
    quotient = abs(one) // abs(other)
    return quotient if (one < 0) is (other < 0) else -quotient


def _contained(one: Any, other: Any) -> bool:
    if isinstance(other, list):
        return any(type(one) is type(each) and one == each for each in other)
    if isinstance(other, Headers | Mapping):
        return one in other
    raise _EvaluationError("no such overload")


_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": _equal,
    "!=": lambda one, other: not _equal(one, other),
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "in": _contained,
    "+": _calculated(operator.add),
    "-": _calculated(operator.sub),
    "*": _calculated(operator.mul),
    "/": _calculated(_divided),
    "%": _calculated(lambda one, other: one - other * _divided(one, other)),
}


def _size(value: Any) -> int:
    if isinstance(value, str | list | Mapping):
        return len(value)
    raise _EvaluationError("no such overload")


def _converted(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def apply(value: Any) -> Any:
        try:
            return convert(value)
        except (TypeError, ValueError):
            raise _EvaluationError("cannot be converted") from None

    return apply


def _as_duration(text: Any) -> timedelta:
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "ns": 1e-9}
    total, rest = 0.0, _as_text(text)
    sign = -1 if rest.startswith("-") else 1
    rest = rest.lstrip("+-")
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(number) :]
        unit = rest[: len(rest) - len(rest.lstrip("hmsun"))]
        rest = rest[len(unit) :]
        total += float(number) * units.get(unit, float("nan"))
    return timedelta(seconds=sign * total)


_FUNCTIONS: Mapping[tuple[str, int], Callable[..., Any]] = {
    ("size", 1): _size,
    ("contains", 2): lambda text, part: _as_text(part) in _as_text(text),
    ("startsWith", 2): lambda text, part: _as_text(text).startswith(_as_text(part)),
    ("endsWith", 2): lambda text, part: _as_text(text).endswith(_as_text(part)),
    ("int", 1): _converted(int),
    ("uint", 1): _converted(int),
    ("double", 1): _converted(float),
    ("duration", 1): _converted(_as_duration),
    ("timestamp", 1): _converted(lambda text: datetime.fromisoformat(_as_text(text))),
}
"""By name and number of operands; `text.startsWith(part)` has two."""
