"""Tokens of ServiceAccounts, as `kubectl create token` asks for them: JWTs with a cluster's claims. Pure.

Signed with a key of this server alone (HS256): nothing in the mesh takes them as proof of anything, and the
API itself asks for none.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from minimesh.config.resources import Resource
from minimesh.config.timestamps import timestamp
from minimesh.kubernetes.api_errors import ApiError
from minimesh.kubernetes.objects import Object

ISSUER = "https://kubernetes.default.svc.cluster.local"
_DEFAULT_S = 3600
_SHORTEST_S, _LONGEST_S = 600, 1 << 32


def answered_request(request: Object, account: Resource, now: datetime, key: str) -> Object:
    """The `TokenRequest` with a token in its status. ApiError (422) for a duration that is not allowed."""
    spec: Mapping[str, Any] = request.get("spec") or {}
    duration_s = spec.get("expirationSeconds") or _DEFAULT_S
    if not _SHORTEST_S <= duration_s <= _LONGEST_S:
        raise _refused(duration_s)
    audiences = list(spec.get("audiences") or [ISSUER])
    expires = now + timedelta(seconds=duration_s)
    claims = {
        "aud": audiences,
        "exp": int(expires.timestamp()),
        "iat": int(now.timestamp()),
        "iss": ISSUER,
        "kubernetes.io": {
            "namespace": account.namespace,
            "serviceaccount": {"name": account.name, "uid": account.metadata.uid},
        },
        "nbf": int(now.timestamp()),
        "sub": f"system:serviceaccount:{account.namespace}:{account.name}",
    }
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": account.name, "namespace": account.namespace},
        "spec": {"audiences": audiences, "expirationSeconds": duration_s, "boundObjectRef": None},
        "status": {"token": _signed(claims, key), "expirationTimestamp": timestamp(expires)},
    }


def _signed(claims: Mapping[str, Any], key: str) -> str:
    text = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
    return f"{text}.{_encoded(hmac.digest(key.encode(), text.encode(), hashlib.sha256))}"


def _part(content: Mapping[str, Any]) -> str:
    return _encoded(json.dumps(content, separators=(",", ":")).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _refused(duration_s: int) -> ApiError:
    limit = "less than 10 minutes" if duration_s < _SHORTEST_S else "larger than 2^32 seconds"
    message = f"Invalid value: {duration_s}: may not specify a duration {limit}"
    field = "spec.expirationSeconds"
    cause = {"reason": "FieldValueInvalid", "message": message, "field": field}
    text = f'TokenRequest.authentication.k8s.io "" is invalid: {field}: {message}'
    return ApiError(422, "Invalid", text, {"kind": "TokenRequest", "causes": [cause]})
