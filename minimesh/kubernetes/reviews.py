"""Questions about the asker: who it is, and what it may do. Pure.

Who knows the secret path of the API may do everything; there are no users to tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

USER = {"username": "minimesh", "groups": ["system:masters", "system:authenticated"]}
_EVERYTHING = {
    "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    "incomplete": False,
}

REVIEWS: Mapping[tuple[str, str], tuple[tuple[str, str], ...]] = {
    ("authentication.k8s.io", "v1"): (("SelfSubjectReview", "selfsubjectreviews"),),
    ("authorization.k8s.io", "v1"): (
        ("SelfSubjectAccessReview", "selfsubjectaccessreviews"),
        ("SelfSubjectRulesReview", "selfsubjectrulesreviews"),
    ),
}
"""By group and version, the kinds that can only be created: questions, whose answer is the response."""

_ANSWERS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "selfsubjectreviews": lambda: {"userInfo": USER},
    "selfsubjectaccessreviews": lambda: {"allowed": True},
    "selfsubjectrulesreviews": lambda: _EVERYTHING,
}


def is_review(group: str, version: str, plural: str) -> bool:
    """Whether this is the place of such a question."""
    return any(plural == each for _, each in REVIEWS.get((group, version), ()))


def answered(review: dict[str, Any], plural: str) -> dict[str, Any]:
    """The question with its answer as status."""
    return {**review, "status": _ANSWERS[plural]()}
