"""What the Gateway API's schemas say in CEL, in their words: rules between fields, and of lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minimesh.config.schema import Rule

Given = Mapping[str, Any]
_PATH_TYPES = ("Exact", "PathPrefix")
_WHEN = "when type one of ['Exact', 'PathPrefix']"


def _has_port(given: Given) -> bool:
    is_service = not given.get("group") and given.get("kind", "Service") == "Service"
    return not is_service or "port" in given


HAS_PORT = Rule("Must have port for Service reference", _has_port)


def _path_rule(message: str, holds: Any) -> Rule:
    def checked(given: Given) -> bool:
        return given.get("type", "PathPrefix") not in _PATH_TYPES or holds(given.get("value", "/"))

    return Rule(f"{message} {_WHEN}", checked)


PATH_RULES = (
    _path_rule("value must be an absolute path and start with '/'", lambda path: path.startswith("/")),
    *(
        _path_rule(f"must not contain '{part}'", lambda path, part=part: part not in path)
        for part in ("//", "/./", "/../", "%2f", "%2F", "#")
    ),
    *(
        _path_rule(f"must not end with '{end}'", lambda path, end=end: not path.endswith(end))
        for end in ("/..", "/.")
    ),
)


def filter_rules(types: Mapping[str, str]) -> tuple[Rule, ...]:
    """That a filter has the field of its type and no other; `types` by the names of their fields."""
    return tuple(rule for field, type_ in types.items() for rule in _of_type(field, type_))


def _of_type(field: str, type_: str) -> tuple[Rule, Rule]:
    return (
        Rule(
            f"filter.{field} must be nil if the filter.type is not {type_}",
            lambda given: field not in given or given.get("type") == type_,
        ),
        Rule(
            f"filter.{field} must be specified for {type_} filter.type",
            lambda given: field in given or given.get("type") != type_,
        ),
    )


def at_most_once(type_: str) -> Rule:
    """That a list has one filter of a type."""
    return Rule(
        f"{type_} filter cannot be repeated",
        lambda filters: sum(each.type == type_ for each in filters) <= 1,
    )


def _redirects_or_rewrites(filters: Sequence[Any]) -> bool:
    return not {"RequestRedirect", "URLRewrite"} <= {each.type for each in filters}


ONE_WAY = Rule(
    "May specify either httpRouteFilterRequestRedirect or httpRouteFilterRequestRewrite, but not both",
    _redirects_or_rewrites,
)


def _modifier_rules(field: str, type_: str) -> tuple[Rule, Rule]:
    return (
        Rule(
            f"{field} must be specified when type is set to '{type_}'",
            lambda given: field in given or given.get("type") != type_,
        ),
        Rule(
            f"type must be '{type_}' when {field} is set",
            lambda given: field not in given or given.get("type") == type_,
        ),
    )


MODIFIER_RULES = (
    *_modifier_rules("replaceFullPath", "ReplaceFullPath"),
    *_modifier_rules("replacePrefixMatch", "ReplacePrefixMatch"),
)


def _leads_nowhere_else(given: Given) -> bool:
    redirects = any(each.request_redirect is not None for each in given.get("filters", ()))
    return not (redirects and given.get("backendRefs"))


def _prefix_is_clear(name: str, attribute: str) -> Rule:
    def holds(given: Given) -> bool:
        made = [getattr(each, attribute) for each in given.get("filters", ())]
        if not any(one is not None and one.path is not None and one.path.replace_prefix_match is not None
                   for one in made):  # fmt: skip
            return True
        # Without any match there is one, of the prefix "/".
        paths = [each.path for each in given["matches"]] if given.get("matches") else [None]
        return len(paths) == 1 and (paths[0] is None or (paths[0].type or "PathPrefix") == "PathPrefix")

    when = f"When using {name} filter with path.replacePrefixMatch"
    return Rule(f"{when}, exactly one PathPrefix match must be specified", holds)


ROUTE_RULES = (
    Rule("RequestRedirect filter must not be used together with backendRefs", _leads_nowhere_else),
    _prefix_is_clear("RequestRedirect", "request_redirect"),
    _prefix_is_clear("URLRewrite", "url_rewrite"),
)


def _ended_or_optioned(given: Given) -> bool:
    ended = given.get("mode", "Terminate") == "Terminate"
    return not ended or bool(given.get("certificateRefs") or given.get("options"))


HAS_CERTIFICATE = Rule(
    "certificateRefs or options must be specified when mode is Terminate", _ended_or_optioned
)


def _differ(values: Sequence[Any]) -> bool:
    return len(set(values)) == len(values)


LISTENERS_WITHOUT_TLS = Rule(
    "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
    lambda found: all(each.tls is None for each in found if each.protocol in ("HTTP", "TCP", "UDP")),
)
LISTENERS_THAT_END_HTTPS = Rule(
    "tls mode must be Terminate for protocol HTTPS",
    lambda found: all(
        each.tls is None or each.tls.mode in (None, "", "Terminate")
        for each in found
        if each.protocol == "HTTPS"
    ),
)
LISTENERS_WITHOUT_HOST = Rule(
    "hostname must not be specified for protocols ['TCP', 'UDP']",
    lambda found: all(not each.hostname for each in found if each.protocol in ("TCP", "UDP")),
)
LISTENER_NAMES = Rule(
    "Listener name must be unique within the Gateway",
    lambda found: _differ([each.name for each in found]),
)
LISTENER_PLACES = Rule(
    "Combination of port, protocol and hostname must be unique for each listener",
    lambda found: _differ([(each.port, each.protocol, each.hostname) for each in found]),
)
