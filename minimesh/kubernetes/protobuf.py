"""The protobuf bodies that `kubectl create` sends: a small reader for the kinds it makes. Pure.

kubectl does not try again in JSON when they are refused. The numbers of the fields are those of Kubernetes'
`generated.proto` files; fields that no `kubectl create` writes are left out.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from minimesh.config.timestamps import timestamp
from minimesh.kubernetes.api_errors import bad_request

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_INLINE = ""
"""The name of a message whose fields stand beside their parent's in JSON."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class _Field(NamedTuple):
    """A field: its JSON name and its type.

    The type is `str`, `bytes`, `int`, `bool`, `time`, `int-or-string`, `raw` bytes, or a message's name.
    `many` fields repeat; `map` fields are maps from strings to the type.
    """

    name: str
    type: str = "str"
    many: bool = False
    map: bool = False


_Message = Mapping[int, _Field]
_METADATA, _LABELS = _Field("metadata", "ObjectMeta"), _Field("labels", "str", map=True)

_MESSAGES: Mapping[str, _Message] = {
    "Unknown": {1: _Field("typeMeta", "TypeMeta"), 2: _Field("raw", "raw")},
    "TypeMeta": {1: _Field("apiVersion"), 2: _Field("kind")},
    "ObjectMeta": {
        1: _Field("name"),
        2: _Field("generateName"),
        3: _Field("namespace"),
        5: _Field("uid"),
        6: _Field("resourceVersion"),
        7: _Field("generation", "int"),
        8: _Field("creationTimestamp", "time"),
        11: _LABELS,
        12: _Field("annotations", map=True),
        14: _Field("finalizers", many=True),
    },
    "Namespace": {1: _METADATA, 2: _Field("spec", "NamespaceSpec")},
    "NamespaceSpec": {1: _Field("finalizers", many=True)},
    "ConfigMap": {
        1: _METADATA,
        2: _Field("data", map=True),
        3: _Field("binaryData", "bytes", map=True),
        4: _Field("immutable", "bool"),
    },
    "Secret": {
        1: _METADATA,
        2: _Field("data", "bytes", map=True),
        3: _Field("type"),
        4: _Field("stringData", map=True),
        5: _Field("immutable", "bool"),
    },
    "ServiceAccount": {1: _METADATA, 4: _Field("automountServiceAccountToken", "bool")},
    "Service": {1: _METADATA, 2: _Field("spec", "ServiceSpec")},
    "ServiceSpec": {
        1: _Field("ports", "ServicePort", many=True),
        2: _Field("selector", map=True),
        3: _Field("clusterIP"),
        4: _Field("type"),
        5: _Field("externalIPs", many=True),
        7: _Field("sessionAffinity"),
        8: _Field("loadBalancerIP"),
        10: _Field("externalName"),
        11: _Field("externalTrafficPolicy"),
    },
    "ServicePort": {
        1: _Field("name"),
        2: _Field("protocol"),
        3: _Field("port", "int"),
        4: _Field("targetPort", "int-or-string"),
        5: _Field("nodePort", "int"),
        6: _Field("appProtocol"),
    },
    "Deployment": {1: _METADATA, 2: _Field("spec", "DeploymentSpec")},
    "DeploymentSpec": {
        1: _Field("replicas", "int"),
        2: _Field("selector", "LabelSelector"),
        3: _Field("template", "PodTemplateSpec"),
        4: _Field("strategy", "DeploymentStrategy"),
        5: _Field("minReadySeconds", "int"),
        6: _Field("revisionHistoryLimit", "int"),
        9: _Field("progressDeadlineSeconds", "int"),
    },
    "DeploymentStrategy": {1: _Field("type")},
    "LabelSelector": {1: _Field("matchLabels", map=True)},
    "PodTemplateSpec": {1: _METADATA, 2: _Field("spec", "PodSpec")},
    "Pod": {1: _METADATA, 2: _Field("spec", "PodSpec")},
    "PodSpec": {
        2: _Field("containers", "Container", many=True),
        3: _Field("restartPolicy"),
        4: _Field("terminationGracePeriodSeconds", "int"),
        6: _Field("dnsPolicy"),
        8: _Field("serviceAccountName"),
        10: _Field("nodeName"),
    },
    "Container": {
        1: _Field("name"),
        2: _Field("image"),
        3: _Field("command", many=True),
        4: _Field("args", many=True),
        5: _Field("workingDir"),
        6: _Field("ports", "ContainerPort", many=True),
        7: _Field("env", "EnvVar", many=True),
        14: _Field("imagePullPolicy"),
    },
    "ContainerPort": {
        1: _Field("name"),
        2: _Field("hostPort", "int"),
        3: _Field("containerPort", "int"),
        4: _Field("protocol"),
    },
    "EnvVar": {1: _Field("name"), 2: _Field("value")},
    "SelfSubjectAccessReview": {2: _Field("spec", "SelfSubjectAccessReviewSpec")},
    "SelfSubjectAccessReviewSpec": {1: _Field("resourceAttributes", "ResourceAttributes")},
    "ResourceAttributes": {
        1: _Field("namespace"),
        2: _Field("verb"),
        3: _Field("group"),
        4: _Field("version"),
        5: _Field("resource"),
        6: _Field("subresource"),
        7: _Field("name"),
    },
    "SelfSubjectRulesReview": {2: _Field("spec", "SelfSubjectRulesReviewSpec")},
    "SelfSubjectRulesReviewSpec": {1: _Field("namespace")},
    "SelfSubjectReview": {},
    "TokenRequest": {1: _METADATA, 2: _Field("spec", "TokenRequestSpec")},
    "TokenRequestSpec": {1: _Field("audiences", many=True), 4: _Field("expirationSeconds", "int")},
    "Ingress": {1: _METADATA, 2: _Field("spec", "IngressSpec")},
    "IngressSpec": {
        1: _Field("defaultBackend", "IngressBackend"),
        2: _Field("tls", "IngressTLS", many=True),
        3: _Field("rules", "IngressRule", many=True),
        4: _Field("ingressClassName"),
    },
    "IngressBackend": {4: _Field("service", "IngressServiceBackend")},
    "IngressServiceBackend": {1: _Field("name"), 2: _Field("port", "ServiceBackendPort")},
    "ServiceBackendPort": {1: _Field("name"), 2: _Field("number", "int")},
    "IngressTLS": {1: _Field("hosts", many=True), 2: _Field("secretName")},
    "IngressRule": {1: _Field("host"), 2: _Field(_INLINE, "IngressRuleValue")},
    "IngressRuleValue": {1: _Field("http", "HTTPIngressRuleValue")},
    "HTTPIngressRuleValue": {1: _Field("paths", "HTTPIngressPath", many=True)},
    "HTTPIngressPath": {
        1: _Field("path"),
        2: _Field("backend", "IngressBackend"),
        3: _Field("pathType"),
    },
    "DeleteOptions": {
        1: _Field("gracePeriodSeconds", "int"),
        2: _Field("preconditions", "Preconditions"),
        3: _Field("orphanDependents", "bool"),
        4: _Field("propagationPolicy"),
        5: _Field("dryRun", many=True),
    },
    "Eviction": {1: _METADATA, 2: _Field("deleteOptions", "DeleteOptions")},
    "Preconditions": {1: _Field("uid"), 2: _Field("resourceVersion")},
}


def decode_object(data: bytes) -> dict[str, Any]:
    """The object in a protobuf body. ApiError (400) for what is none, or a kind that is not read."""
    if not data.startswith(_MAGIC):
        raise bad_request(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    try:
        envelope = _read("Unknown", data[len(_MAGIC) :])
        kind = envelope["typeMeta"]["kind"]
        if kind not in _MESSAGES:
            raise bad_request(f"no kind {kind!r} is read from protobuf; send it as JSON")
        return {**envelope["typeMeta"], **_read(kind, envelope.get("raw", b""))}
    except (AttributeError, LookupError, OSError, OverflowError, TypeError, ValueError) as error:
        raise bad_request(f"the body of the request is not valid protobuf: {error!r}") from error


def _read(message: str, data: bytes) -> dict[str, Any]:
    fields = _MESSAGES[message]
    found: dict[str, Any] = {}
    for number, value in _wire(data):
        field = fields.get(number)
        if field is None:
            continue
        if isinstance(value, int) != (field.type in ("int", "bool") and not field.map):
            raise ValueError(f"{message}.{field.name} has another wire type")
        if field.map:
            entry = dict(_wire(value))
            key = _text(entry.get(1, b""))
            found.setdefault(field.name, {})[key] = _value(field.type, entry.get(2, b""))
        elif field.name == _INLINE:
            found |= _value(field.type, value)
        elif field.many:
            found.setdefault(field.name, []).append(_value(field.type, value))
        else:
            read = _value(field.type, value)
            # Go writes empty strings and structs too, where JSON leaves them out.
            if read not in ("", None, {}) or field.name in ("value",):
                found[field.name] = read
    return {name: value for name, value in found.items() if value != 0 or name == "replicas"}


def _value(type_: str, value: Any) -> Any:
    if type_ == "str":
        return _text(value)
    if type_ == "raw":
        return value
    if type_ == "bytes":
        return base64.b64encode(value).decode()
    if type_ == "int":
        return value - (1 << 64) if value >> 63 else value
    if type_ == "bool":
        return bool(value)
    if type_ == "time":
        seconds = dict(_wire(value)).get(1, 0)
        return timestamp(datetime.fromtimestamp(seconds, UTC)) if seconds else None
    if type_ == "int-or-string":
        parts = dict(_wire(value))
        return _text(parts.get(3, b"")) if parts.get(1) else parts.get(2, 0)
    return _read(type_, value)


def _text(value: bytes) -> str:
    return value.decode()


def _wire(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a message: number, and an int or bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > len(data):
            raise ValueError("cut short")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), at
        shift += 7
