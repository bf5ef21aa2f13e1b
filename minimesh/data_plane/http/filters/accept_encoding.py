"""What a client's accept-encoding says of one content coding."""

from __future__ import annotations

import re
from enum import Enum

_QUALITY = re.compile(r"q\s*=\s*(\d+(?:\.\d*)?|\.\d+)\s*")


class Answer(Enum):
    """The outcome, by Envoy's word for it in the statistics."""

    CODING = "header_compressor_used"
    WILDCARD = "header_wildcard"
    IDENTITY = "header_identity"
    NOT_VALID = "header_not_valid"
    ABSENT = "no_accept_header"

    @property
    def is_yes(self) -> bool:
        return self in (Answer.CODING, Answer.WILDCARD)


def answer(header: str | None, coding: str) -> Answer:
    """Whether `coding` is what the client likes best of those that this proxy knows."""
    if header is None:
        return Answer.ABSENT
    qualities: dict[str, float] = {}
    for part in header.split(","):
        name, _, parameter = part.strip().partition(";")
        quality = _quality(parameter.strip())
        if name.strip() in (coding, "identity", "*") and quality is not None:
            qualities[name.strip()] = quality
    best = max(qualities, key=lambda name: qualities[name], default="")
    if not best or not qualities[best] or (best == "*" and qualities.get(coding) == 0.0):
        return Answer.NOT_VALID
    if best == "*":
        return Answer.WILDCARD
    return Answer.IDENTITY if best == "identity" else Answer.CODING


def _quality(parameter: str) -> float | None:
    if not parameter:
        return 1.0
    found = _QUALITY.fullmatch(parameter)
    return float(found[1]) if found else None
