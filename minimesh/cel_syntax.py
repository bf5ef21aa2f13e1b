"""CEL's grammar: text -> a tree of tuples.

A node is `("literal", value)`, `("name", text)`, `("field", node, name)`, `("index", node, node)`,
`("call", function, target or None, arguments)`, `("unary", operator, node)`, `("binary", operator, left,
right)`, `("choice", condition, then, otherwise)`, `("list", items)` or `("map", pairs)`.
"""

from __future__ import annotations

import ast
import re
from typing import Any, NamedTuple

Node = tuple[Any, ...]

MAX_EXPRESSION_CHARACTERS = 10_000
MAX_DEPTH = 64
_LEVELS = (
    ("||",),
    ("&&",),
    ("==", "!=", "<=", ">=", "<", ">", "in"),
    ("+", "-"),
    ("*", "/", "%"),
)
"""Binary operators, loosest first; those of one level are read from the left."""
_TOKENS = re.compile(
    r"""(?P<space>(?:\s|//[^\n]*)+)
    |(?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+)|\d+[uU]?)
    |(?P<string>[rR]?(?:'''(?:\\.|(?!''').)*?'''|\"\"\"(?:\\.|(?!\"\"\").)*?\"\"\"
        |'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
    |(?P<name>[A-Za-z_]\w*)
    |(?P<operator>\|\||&&|==|!=|<=|>=|[-+*/%!<>?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = {"true": True, "false": False, "null": None}


class CelError(ValueError):
    """An expression that is no CEL, or asks for more than is simulated; the text says what and where."""


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse(text: str) -> Node:
    """The tree of an expression. Raises CelError."""
    if len(text) > MAX_EXPRESSION_CHARACTERS:
        raise CelError(f"longer than {MAX_EXPRESSION_CHARACTERS} characters")
    parser = _Parser(_tokens(text))
    tree = parser.expression()
    if parser.token.kind != "end":
        raise parser.unexpected()
    return tree


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(text):
        token = _TOKENS.match(text, at)
        if token is None:
            raise CelError(f"unexpected {text[at]!r} at column {at + 1}")
        if token.lastgroup != "space":
            found.append(_Token(str(token.lastgroup), token.group(), at))
        at = token.end()
    return [*found, _Token("end", "", len(text))]


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    @property
    def token(self) -> _Token:
        return self._tokens[self._at]

    def unexpected(self) -> CelError:
        token = self.token
        what = f"{token.text!r}" if token.kind != "end" else "end"
        return CelError(f"unexpected {what} at column {token.at + 1}")

    def expression(self) -> Node:
        """`condition ? then : otherwise`, or less."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise CelError(f"nested more than {MAX_DEPTH} levels deep")
        condition = self._binary(0)
        if self._take("?"):
            then = self._binary(0)
            self._expect(":")
            condition = ("choice", condition, then, self.expression())
        self._depth -= 1
        return condition

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while self.token.kind in ("operator", "name") and self.token.text in _LEVELS[level]:
            operator = self._next().text
            left = ("binary", operator, left, self._binary(level + 1))
        return left

    def _unary(self) -> Node:
        operators: list[str] = []
        while self.token.kind == "operator" and self.token.text in "!-":
            operators.append(self._next().text)
        node = self._member()
        for operator in reversed(operators):
            node = ("unary", operator, node)
        return node

    def _member(self) -> Node:
        node = self._primary()
        while True:
            if self._take("."):
                name = self._name()
                node = ("call", name, node, self._items(")")) if self._take("(") else ("field", node, name)
            elif self._take("["):
                node = ("index", node, self.expression())
                self._expect("]")
            else:
                return node

    def _primary(self) -> Node:
        token = self._next()
        match token.kind, token.text:
            case "number", text:
                return ("literal", _number(text))
            case "string", text:
                return ("literal", _string(text))
            case "name", text:
                if text in _WORDS:
                    return ("literal", _WORDS[text])
                return ("call", text, None, self._items(")")) if self._take("(") else ("name", text)
            case "operator", "(":
                inside = self.expression()
                self._expect(")")
                return inside
            case "operator", "[":
                return ("list", self._items("]"))
            case "operator", "{":
                return ("map", self._pairs())
        self._at -= 1
        raise self.unexpected()

    def _items(self, end: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self._take(end):
            items.append(self.expression())
            if not self._take(","):
                self._expect(end)
                break
        return tuple(items)

    def _pairs(self) -> tuple[tuple[Node, Node], ...]:
        pairs: list[tuple[Node, Node]] = []
        while not self._take("}"):
            key = self.expression()
            self._expect(":")
            pairs.append((key, self.expression()))
            if not self._take(","):
                self._expect("}")
                break
        return tuple(pairs)

    def _name(self) -> str:
        if self.token.kind != "name":
            raise self.unexpected()
        return self._next().text

    def _next(self) -> _Token:
        token = self.token
        if token.kind != "end":
            self._at += 1
            return token
        raise self.unexpected()

    def _take(self, text: str) -> bool:
        if self.token.kind == "operator" and self.token.text == text:
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self.unexpected()


def _number(text: str) -> int | float:
    plain = text.rstrip("uU")
    if plain.lower().startswith("0x"):
        return int(plain, 16)
    return int(plain) if plain.isdigit() else float(plain)


def _string(text: str) -> str:
    try:
        found = ast.literal_eval(text.replace("\n", "\\n") if text[-3:] not in ("'''", '"""') else text)
    except (SyntaxError, ValueError):
        raise CelError(f"{text} is no string") from None
    return str(found)
