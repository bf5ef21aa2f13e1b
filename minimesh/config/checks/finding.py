"""What a rule finds, and the rules for names, ports and durations that all kinds share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from minimesh.config.diagnostics import Severity
from minimesh.config.source_map import join


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with the field at `path`, and what to do."""

    path: str
    code: str
    message: str
    severity: Severity = Severity.ERROR
    suggestion: str | None = None


Findings = Iterator[Finding]

is_label = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?").fullmatch
is_service_name = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?").fullmatch
is_subdomain = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*").fullmatch
is_label_value = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?").fullmatch
is_label_key = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?").fullmatch
is_header_name = re.compile(r":?[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch


def as_name(text: str) -> str | None:
    name = re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")
    return name or None


def check_labels(path: str, labels: Mapping[str, str]) -> Findings:
    for key, value in labels.items():
        if not is_label_key(key):
            yield Finding(
                join(path, key),
                "bad-label",
                f'"{key}" is no label name: letters, digits, - _ . only, a letter or digit at both ends',
            )
        if not is_label_value(value):
            yield Finding(
                join(path, key),
                "bad-label",
                f'"{value}" is no label value: at most 63 letters, digits, - _ ., no - _ . at its ends',
            )


def check_port(path: str, number: int) -> Findings:
    if not 1 <= number <= 65535:
        yield Finding(path, "bad-port", f"must be a port from 1 to 65535, not {number}")


def check_duration(path: str, value: timedelta | None, *, zero_is_fine: bool = False) -> Findings:
    if value is None or (zero_is_fine and not value):
        return
    if value < timedelta(milliseconds=1):
        yield Finding(path, "bad-duration", "must be at least 1ms")
    elif value % timedelta(milliseconds=1):
        yield Finding(path, "bad-duration", "must be whole milliseconds")
