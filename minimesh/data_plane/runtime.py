"""Envoy's runtime: values by key, in layers, that may change while requests run.

A later layer's value covers an earlier one's. Who is ruled by a key is given a value once, when it is
configured, and reads it like any attribute; a changed layer writes the values anew. So a key costs a request
nothing, whether a layer has it or not.

Source: Envoy, "Runtime configuration"; what a value means is told at the methods that ask for one.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

OwnerT = TypeVar("OwnerT")

DENOMINATORS = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}
ADMIN_LAYER = "admin"


@dataclass(frozen=True, slots=True)
class Fraction:
    """`numerator` in `denominator` requests: 5 in 100."""

    numerator: int
    denominator: int = 100

    def includes(self, random_value: int) -> bool:
        return random_value % self.denominator < self.numerator


@dataclass(slots=True, weakref_slot=True, eq=False)
class RuntimeFraction:
    """A Fraction that a key rules: it changes with the layers."""

    numerator: int
    denominator: int

    def includes(self, random_value: int) -> bool:
        return random_value % self.denominator < self.numerator


AnyFraction = Fraction | RuntimeFraction


@dataclass(slots=True, weakref_slot=True, eq=False)
class RuntimeInteger:
    """What the layers have under a key, as a whole number; None: nothing that is one."""

    value: int | None = None

    def over(self, written: int) -> int:
        """The layers' value, else the one written."""
        return written if self.value is None else self.value


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: its keys in flat form (`a.b`), each with a number, a boolean, a text or a Fraction."""

    name: str
    values: Mapping[str, object]
    writable: bool = False
    """By the admin API."""


@dataclass(frozen=True, slots=True)
class _Binding:
    owner: weakref.ReferenceType[Any]
    assign: Callable[[Any, object], None]


class Runtime:
    """All layers of a process, and who is ruled by their keys."""

    def __init__(self) -> None:
        self.layers: tuple[Layer, ...] = (Layer(ADMIN_LAYER, {}, writable=True),)
        self._bindings: dict[str, list[_Binding]] = {}

    def set_layers(self, layers: Sequence[Layer]) -> None:
        """Replace all layers; the last has the last word."""
        self.layers = tuple(layers)
        self._write_values()

    def set_layer(self, name: str, values: Mapping[str, object]) -> None:
        """Replace what one layer says. Raises KeyError for a layer that there is not."""
        if all(layer.name != name for layer in self.layers):
            raise KeyError(name)
        self.layers = tuple(
            replace(layer, values=values) if layer.name == name else layer for layer in self.layers
        )
        self._write_values()

    @property
    def admin_layer(self) -> Layer | None:
        """The layer that the admin API may write."""
        return next((layer for layer in self.layers if layer.writable), None)

    def value(self, key: str) -> object | None:
        """What holds for a key; None where no layer has it."""
        for layer in reversed(self.layers):
            if key in layer.values:
                return layer.values[key]
        return None

    def fraction(self, key: str, numerator: int, denominator: int) -> AnyFraction:
        """A share ruled by a RuntimeFractionalPercent: a whole number under its key counts in hundredths."""

        def assign(fraction: RuntimeFraction, value: object) -> None:
            if isinstance(value, Fraction):
                fraction.numerator, fraction.denominator = value.numerator, value.denominator
            elif (whole := _whole(value)) is not None:
                fraction.numerator, fraction.denominator = min(whole, 100), 100
            else:
                fraction.numerator, fraction.denominator = numerator, denominator

        return self._bound(key, numerator, denominator, assign)

    def share(self, key: str, numerator: int, denominator: int) -> AnyFraction:
        """A share whose key replaces its numerator alone, as in an access log's runtime filter."""

        def assign(fraction: RuntimeFraction, value: object) -> None:
            whole = _whole(value)
            fraction.numerator = numerator if whole is None else min(whole, denominator)

        return self._bound(key, numerator, denominator, assign)

    def integer(self, key: str) -> RuntimeInteger:
        """What stands under a key, now and later."""
        found = RuntimeInteger()
        self.follow(key, found, _assign_integer)
        return found

    def follow(self, key: str, owner: OwnerT, assign: Callable[[OwnerT, object], None]) -> None:
        """Tell an owner of the key's value, None where no layer has it: now, and whenever layers change.

        The owner is not kept alive; `assign` must not hold it.
        """
        alive = [each for each in self._bindings.get(key, ()) if each.owner() is not None]
        self._bindings[key] = [*alive, _Binding(weakref.ref(owner), assign)]
        assign(owner, self.value(key))

    def _bound(
        self, key: str, numerator: int, denominator: int, assign: Callable[[RuntimeFraction, object], None]
    ) -> AnyFraction:
        if not key:
            return Fraction(numerator, denominator)
        fraction = RuntimeFraction(numerator, denominator)
        self.follow(key, fraction, assign)
        return fraction

    def _write_values(self) -> None:
        for key, bindings in self._bindings.items():
            value = self.value(key)
            for binding in bindings:
                owner = binding.owner()
                if owner is not None:
                    binding.assign(owner, value)


def _assign_integer(owner: RuntimeInteger, value: object) -> None:
    owner.value = integer(value)


def integer(value: object) -> int | None:
    """A value as Envoy reads it where a whole number is wanted: what stands before the point, if any."""
    if isinstance(value, float) and value >= 0:
        return int(value)
    return _whole(value)


def flattened(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested mappings as flat keys; one with `numerator` alone, or with `denominator` too, is a Fraction."""
    for name, value in values.items():
        key = f"{prefix}{name}"
        if not isinstance(value, Mapping):
            yield key, value
            continue
        fraction = _fraction(value)
        if fraction is not None:
            yield key, fraction
        else:
            yield from flattened(value, f"{key}.")


def _fraction(value: Mapping[str, object]) -> Fraction | None:
    if not value or not value.keys() <= {"numerator", "denominator"}:
        return None
    numerator = _whole(value.get("numerator", 0))
    denominator = DENOMINATORS.get(str(value.get("denominator", "HUNDRED")))
    return None if numerator is None or denominator is None else Fraction(numerator, denominator)


def _whole(value: object) -> int | None:
    """A value as the whole number that it is, if it is one and not negative."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float) and value >= 0 and value == int(value):
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return None
