"""Rules for the parts of HTTP requests that routes match and change: texts, expressions, header names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from minimesh.config.checks.finding import Finding, Findings, is_header_name
from minimesh.config.diagnostics import Severity

if TYPE_CHECKING:
    from minimesh.config.istio.virtual_service import StringMatch


def check_string_match(path: str, match: StringMatch, *, presence: bool = False) -> Findings:
    given = [name for name in ("exact", "prefix", "regex") if getattr(match, name) is not None]
    if len(given) > 1:
        yield Finding(
            f"{path}.{given[-1]}", "several-matches", f"has {' and '.join(given)}; keep one of them"
        )
    if not given and not presence:
        message = "is empty, which matches anything; give it one of exact, prefix, regex"
        yield Finding(path, "no-match", message, Severity.WARNING)
    if match.regex is not None:
        yield from check_regex(f"{path}.regex", match.regex)


def check_regex(path: str, expression: str) -> Findings:
    if not expression:
        yield Finding(path, "bad-regex", "is empty; write .* to match anything")
        return
    if len(expression) > 1024:
        yield Finding(path, "bad-regex", "is longer than 1024 characters, which Istio refuses")
    for unsupported in ("(?=", "(?!", "(?<=", "(?<!"):
        if unsupported in expression:
            yield Finding(path, "bad-regex", f"{unsupported}...) is not known to RE2, the engine of Envoy")
            return
    try:
        # RE2 and Python differ in `\\z`, in named Unicode classes and in the place of flags; what only RE2
        # knows is written so that Python can check the rest.
        re.compile(re.sub(r"\\pN|\\p\{\w+\}|\\P\{\w+\}", r"\\w", expression).replace(r"\z", r"\Z"))
    except (re.error, RecursionError, OverflowError) as error:
        yield Finding(path, "bad-regex", f'"{expression}" is no regular expression: {error}')


def check_header_name(path: str, name: str) -> Findings:
    if not is_header_name(name):
        yield Finding(path, "bad-header", f'"{name}" is no header name')
