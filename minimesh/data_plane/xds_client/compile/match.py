"""RouteMatch, HeaderMatcher, StringMatcher and the like -> `routing.matchers`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minimesh.data_plane.routing.matchers import (
    Condition,
    DynamicMetadataMatcher,
    FractionMatcher,
    GrpcMatcher,
    HeaderMatcher,
    HeaderPresence,
    PathKind,
    PathMatch,
    QueryParameterMatcher,
    RouteMatch,
    StringKind,
    StringTest,
    TlsContextMatcher,
    ValueTest,
    range_test,
    string_test,
)
from minimesh.data_plane.runtime import AnyFraction, Runtime
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.route_environment import by_number, compile_regex, wire_text

_ROUTE_MATCH = frozenset(
    {
        "prefix",
        "path",
        "safe_regex",
        "path_separated_prefix",
        "case_sensitive",
        "runtime_fraction",
        "headers",
        "query_parameters",
        "grpc",
        "tls_context",
        "dynamic_metadata",
    }
)
_HEADER_MATCHER = frozenset(
    {
        "name",
        "exact_match",
        "safe_regex_match",
        "range_match",
        "present_match",
        "prefix_match",
        "suffix_match",
        "contains_match",
        "string_match",
        "invert_match",
        "treat_missing_header_as_empty",
    }
)
_OBSOLETE_STRING_MATCHES = {
    "exact_match": StringKind.EXACT,
    "prefix_match": StringKind.PREFIX,
    "suffix_match": StringKind.SUFFIX,
    "contains_match": StringKind.CONTAINS,
}
_STRING_MATCHER = frozenset({"exact", "prefix", "suffix", "safe_regex", "contains", "ignore_case"})
_DENOMINATORS = (100, 10_000, 1_000_000)


def compile_route_match(message: Any, path: str, runtime: Runtime) -> RouteMatch:
    """A RouteMatch; CompileError names the field that is refused."""
    refuse_unsupported(message, path, _ROUTE_MATCH)
    return RouteMatch(_path_match(message, path), tuple(_conditions(message, path, runtime)))


def _path_match(message: Any, path: str) -> PathMatch:
    specifier = message.WhichOneof("path_specifier")
    if specifier is None:
        raise CompileError(path, "no path specifier: one of prefix, path, path_separated_prefix, safe_regex")
    case_sensitive = not message.HasField("case_sensitive") or message.case_sensitive.value
    if specifier == "safe_regex":
        regex = compile_regex(message.safe_regex, join(path, "safe_regex"))
        return PathMatch(PathKind.REGEX, regex.pattern, regex=regex)
    value = wire_text(getattr(message, specifier))
    if specifier == "path_separated_prefix" and (not value.startswith("/") or value.endswith("/")):
        raise CompileError(join(path, specifier), f"{value!r} must begin with a slash and not end with one")
    return PathMatch(PathKind(specifier), value, case_sensitive)


def _conditions(message: Any, path: str, runtime: Runtime) -> list[Condition]:
    conditions: list[Condition] = []
    if message.HasField("runtime_fraction"):
        where = join(path, "runtime_fraction")
        conditions.append(FractionMatcher(compile_runtime_fraction(message.runtime_fraction, where, runtime)))
    if message.HasField("grpc"):
        conditions.append(GrpcMatcher())
    conditions += compile_header_matchers(message.headers, join(path, "headers"))
    for number, parameter in enumerate(message.query_parameters):
        conditions.append(_query_parameter(parameter, f"{path}.query_parameters[{number}]"))
    if message.HasField("tls_context"):
        conditions.append(_tls_context(message.tls_context))
    for number, metadata in enumerate(message.dynamic_metadata):
        conditions.append(_dynamic_metadata(metadata, f"{path}.dynamic_metadata[{number}]"))
    return conditions


def compile_fraction(message: Any, path: str) -> tuple[int, int]:
    """A FractionalPercent as (numerator, denominator)."""
    return message.numerator, by_number(_DENOMINATORS, message.denominator, join(path, "denominator"))


def compile_runtime_fraction(message: Any, path: str, runtime: Runtime) -> AnyFraction:
    """A RuntimeFractionalPercent: its default, or what the runtime has under its key. Empty: never."""
    default = compile_fraction(message.default_value, join(path, "default_value"))
    return runtime.fraction(message.runtime_key, *default)


def _tls_context(message: Any) -> TlsContextMatcher:
    def wanted(field: str) -> bool | None:
        return bool(getattr(message, field).value) if message.HasField(field) else None

    return TlsContextMatcher(wanted("presented"), wanted("validated"))


# Headers


def compile_header_matchers(messages: Sequence[Any], path: str) -> list[HeaderMatcher | HeaderPresence]:
    """HeaderMatchers of a route, a virtual cluster or a retry policy."""
    return [_header_matcher(message, f"{path}[{number}]") for number, message in enumerate(messages)]


def _header_matcher(message: Any, path: str) -> HeaderMatcher | HeaderPresence:
    refuse_unsupported(message, path, _HEADER_MATCHER)
    if not message.name:
        raise CompileError(join(path, "name"), "must not be empty")
    name = wire_text(message.name).lower()
    specifier = message.WhichOneof("header_match_specifier")
    if specifier in (None, "present_match"):
        present = specifier is None or message.present_match
        return HeaderPresence(
            name, present is not message.invert_match, message.treat_missing_header_as_empty
        )
    test = _header_test(message, specifier, join(path, specifier))
    wanted = _header_test_in_words(message, specifier)
    return HeaderMatcher(name, test, message.invert_match, message.treat_missing_header_as_empty, wanted)


def _header_test(message: Any, specifier: str, path: str) -> StringTest:
    value = getattr(message, specifier)
    if specifier == "string_match":
        return compile_string_matcher(value, path)
    if specifier == "range_match":
        return range_test(value.start, value.end)
    if specifier == "safe_regex_match":
        return compile_regex(value, path).fullmatch
    return string_test(_OBSOLETE_STRING_MATCHES[specifier], wire_text(value))


def _header_test_in_words(message: Any, specifier: str) -> str:
    value = getattr(message, specifier)
    if specifier == "string_match":
        return string_matcher_in_words(value)
    if specifier == "range_match":
        return f"a number from {value.start} to {value.end - 1}"
    if specifier == "safe_regex_match":
        return f'regex "{value.regex}"'
    return f'{specifier.removesuffix("_match")} "{value}"'


def string_matcher_in_words(message: Any) -> str:
    """A StringMatcher for people: `prefix "api"`."""
    pattern = message.WhichOneof("match_pattern")
    value = message.safe_regex.regex if pattern == "safe_regex" else getattr(message, pattern)
    kind = "regex" if pattern == "safe_regex" else pattern
    return f'{kind} "{value}"{" in any case" if message.ignore_case else ""}'


def compile_string_matcher(message: Any, path: str) -> StringTest:
    """A StringMatcher."""
    refuse_unsupported(message, path, _STRING_MATCHER)
    pattern = message.WhichOneof("match_pattern")
    if pattern is None:
        raise CompileError(path, "no match pattern: one of exact, prefix, suffix, contains, safe_regex")
    if pattern == "safe_regex":
        return compile_regex(message.safe_regex, join(path, pattern)).fullmatch
    value = wire_text(getattr(message, pattern))
    if not value and pattern != "exact":
        raise CompileError(join(path, pattern), "must not be empty")
    return string_test(StringKind(pattern), value, ignore_case=message.ignore_case)


def _query_parameter(message: Any, path: str) -> QueryParameterMatcher:
    refuse_unsupported(message, path, frozenset({"name", "string_match", "present_match"}))
    if not message.name:
        raise CompileError(join(path, "name"), "must not be empty")
    name = wire_text(message.name)
    specifier = message.WhichOneof("query_parameter_match_specifier")
    if specifier == "string_match":
        return QueryParameterMatcher(
            name,
            compile_string_matcher(message.string_match, join(path, "string_match")),
            wanted=string_matcher_in_words(message.string_match),
        )
    return QueryParameterMatcher(name, present=specifier is None or message.present_match)


# Dynamic metadata


def _dynamic_metadata(message: Any, path: str) -> DynamicMetadataMatcher:
    refuse_unsupported(message, path, frozenset({"filter", "path", "value", "invert"}))
    keys = tuple(segment.key for segment in message.path)
    test = _value_test(message.value, join(path, "value"))
    return DynamicMetadataMatcher(message.filter, keys, test, message.invert)


def _value_test(message: Any, path: str) -> ValueTest:
    pattern = message.WhichOneof("match_pattern")
    compile_test = _VALUE_TESTS.get(pattern)
    if compile_test is None:
        raise CompileError(path, "no match pattern")
    return compile_test(getattr(message, pattern), join(path, pattern))


def _null(message: Any, path: str) -> ValueTest:
    return lambda value: value is None


def _double(message: Any, path: str) -> ValueTest:
    if message.WhichOneof("match_pattern") == "exact":
        exact = message.exact
        return lambda value: _is_number(value) and value == exact
    start, end = message.range.start, message.range.end
    return lambda value: isinstance(value, int | float) and _is_number(value) and start <= value < end


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _string(message: Any, path: str) -> ValueTest:
    test = compile_string_matcher(message, path)
    return lambda value: isinstance(value, str) and test(value)


def _bool(message: Any, path: str) -> ValueTest:
    wanted = bool(message)
    return lambda value: value is wanted


def _present(message: Any, path: str) -> ValueTest:
    wanted = bool(message)
    return lambda value: wanted


def _list(message: Any, path: str) -> ValueTest:
    test = _value_test(message.one_of, join(path, "one_of"))
    return lambda value: isinstance(value, list | tuple) and any(test(element) for element in value)


def _or(message: Any, path: str) -> ValueTest:
    tests = [
        _value_test(inner, f"{path}.value_matchers[{number}]")
        for number, inner in enumerate(message.value_matchers)
    ]
    return lambda value: any(test(value) for test in tests)


_VALUE_TESTS: dict[str | None, Callable[[Any, str], ValueTest]] = {
    "null_match": _null,
    "double_match": _double,
    "string_match": _string,
    "bool_match": _bool,
    "present_match": _present,
    "list_match": _list,
    "or_match": _or,
}
