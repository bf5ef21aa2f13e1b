"""Resources of a dump as istioctl prints them: Go's JSON of protobuf, four blanks deep, and YAML of that.

A dump is JSON already, but in proto names (`lb_policy`) and any order; Go writes JSON names (`lbPolicy`) in
the order of declaration. The walk is led by the message descriptors where they are known. What is not known
(extensions of other proxies, fields newer than our descriptors) is kept as it came, so that any Envoy's
dump can be shown; parsing it into messages would refuse those.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor

_ANY = "google.protobuf.Any"
#: Messages whose JSON is not an object of their fields: left alone.
_OWN_JSON = "google.protobuf."


def normal_form(value: Any, type_name: str) -> Any:
    """The JSON of a message of this full type name in JSON names and Go's order."""
    return _message(value, _descriptor(type_name))


def to_json(value: Any) -> str:
    """As Go's json.MarshalIndent with four blanks: also `<`, `>` and `&` are escaped."""
    text = json.dumps(value, indent=4, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026") + "\n"


def to_yaml(value: Any) -> str:
    """As sigs.k8s.io/yaml: keys sorted, text that reads as another type in double quotes."""
    return yaml.dump(
        value, Dumper=_GoDumper, default_flow_style=False, sort_keys=True, allow_unicode=True, width=80
    )


def _descriptor(type_name: str) -> Descriptor | None:
    from minimesh.xds import messages  # noqa: F401 - registers the types

    try:
        found: Descriptor = descriptor_pool.Default().FindMessageTypeByName(type_name)
    except KeyError:
        return None
    return found


def _message(value: Any, descriptor: Descriptor | None) -> Any:
    if descriptor is None or not isinstance(value, Mapping):
        return value
    if descriptor.full_name == _ANY:
        return _any(value)
    if descriptor.full_name.startswith(_OWN_JSON):
        return _sorted_struct(value)
    shown = {}
    for field in descriptor.fields:
        for name in (field.json_name, field.name):
            if name in value:
                shown[field.json_name] = _field(value[name], field)
                break
    known = {name for field in descriptor.fields for name in (field.json_name, field.name)}
    return {**shown, **{name: each for name, each in value.items() if name not in known}}


def _any(value: Mapping[str, Any]) -> dict[str, Any]:
    url = str(value.get("@type", ""))
    rest = {name: each for name, each in value.items() if name != "@type"}
    return {"@type": url, **_message(rest, _descriptor(url.rpartition("/")[2]))}


def _field(value: Any, field: FieldDescriptor) -> Any:
    inner: Descriptor | None = field.message_type
    if inner is None:
        return value
    if inner.GetOptions().map_entry and isinstance(value, Mapping):
        item: Descriptor | None = inner.fields_by_name["value"].message_type
        return {key: _message(value[key], item) for key in sorted(value)}
    if isinstance(value, list):
        return [_message(each, inner) for each in value]
    return _message(value, inner)


def _sorted_struct(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted_struct(value[key]) for key in sorted(value)}
    return (
        [_sorted_struct(each) for each in value]
        if isinstance(value, Sequence) and not isinstance(value, str)
        else value
    )


#: What PyYAML resolves text to that reads as text: itself, and lone `*`, `&`, `!` and `=`.
_PLAIN_TAGS = tuple(f"tag:yaml.org,2002:{name}" for name in ("str", "yaml", "value"))


class _GoDumper(yaml.SafeDumper):
    """Differs from PyYAML in quoting: `"8000"` where PyYAML would write `'8000'`."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _GoDumper, data: str) -> yaml.ScalarNode:
    if "\n" in data:
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="|")
    reads_as = dumper.resolve(yaml.ScalarNode, data, (True, False))  # type: ignore[no-untyped-call]
    style = None if reads_as in _PLAIN_TAGS else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_GoDumper.add_representer(str, _text)
