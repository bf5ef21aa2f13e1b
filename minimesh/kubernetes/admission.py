"""Whether an object may be stored: field names and types as the API server decodes them, then its rules."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from minimesh.config.diagnostics import Diagnostic, Severity
from minimesh.config.resources import Resource
from minimesh.config.validate import admission_warnings, strict_decoding_error
from minimesh.kubernetes.api_errors import ApiError, bad_request, invalid
from minimesh.kubernetes.objects import Object, to_resource
from minimesh.kubernetes.resource_types import ResourceType
from minimesh.kubernetes.schemas.object_rules import broken_rules, deprecated_uses
from minimesh.kubernetes.schemas.of_types import Schema
from minimesh.kubernetes.schemas.strict_fields import mistyped, pruned, unknown_fields
from minimesh.kubernetes.schemas.structural import has_cel_rules, violations


class FieldValidation(StrEnum):
    """What becomes of a field that the kind does not have."""

    IGNORE = "Ignore"
    WARN = "Warn"
    STRICT = "Strict"


def decoded(
    given: Object, type_: ResourceType, version: str, validation: FieldValidation, schema: Schema
) -> tuple[Object, list[str]]:
    """The object without unknown fields, and warnings about these. ApiError (400) where they are refused."""
    if type_.custom and type_.is_decoded:
        return given, []  # the kinds of Istio and the Gateway API: their message classes decode and judge
    wrong = mistyped(given, schema, type_.kind) if not type_.custom else None
    if wrong is not None:
        raise bad_request(_undecodable(type_, version, wrong))
    unknown = [f'unknown field "{path}"' for path in unknown_fields(given, schema)]
    if unknown and validation is FieldValidation.STRICT:
        raise bad_request(_undecodable(type_, version, f"strict decoding error: {', '.join(unknown)}"))
    found: Object = pruned(given, schema) if unknown else given
    return found, unknown if validation is FieldValidation.WARN else []


def admitted(
    given: Object, type_: ResourceType, version: str, validation: FieldValidation, schema: Schema
) -> tuple[Resource, list[str]]:
    """The resource to store, and warnings. ApiError when a rule forbids it."""
    warnings = _judged(given, type_, version, schema)
    resource, diagnostics = to_resource(given, type_)
    warnings += admission_warnings(diagnostics)
    strange = strict_decoding_error(diagnostics)
    errors = [
        each
        for each in diagnostics
        if each.severity is Severity.ERROR and each.code not in ("unknown-field", "duplicate-key")
    ]
    name = given["metadata"].get("name", "")
    refusal = _refusal(given, type_, schema, errors)
    if strange is not None and validation is FieldValidation.STRICT:
        # The API server would stop here; what else is wrong is said too, so that it is mended in one go.
        more = f"\n{refusal}" if refusal is not None else ""
        raise bad_request(_undecodable(type_, version, strange) + more)
    if refusal is not None:
        raise refusal
    if strange is not None and validation is FieldValidation.WARN:
        warnings.extend(strange.removeprefix("strict decoding error: ").split(", "))
    if resource is None:
        cause = {"reason": "FieldValueRequired", "message": "Required value: name is required"}
        raise invalid(type_, name, [{**cause, "field": "metadata.name"}])
    return resource, warnings


def _judged(given: Object, type_: ResourceType, version: str, schema: Schema) -> list[str]:
    """Warnings about an object of a kind that no message class reads. ApiError (422) when it is invalid."""
    if type_.is_decoded and type_.custom:
        return []
    found = [*(violations(given, schema) if type_.custom else ()), *broken_rules(given, type_)]
    if found:
        raise invalid(type_, given["metadata"].get("name", ""), [each._asdict() for each in found])
    if not has_cel_rules(schema if type_.custom else given):
        return list(deprecated_uses(given, type_))
    about = type_.qualified_plural if type_.custom else str(given["metadata"].get("name", ""))
    return [f"the CEL rules of {about} (x-kubernetes-validations) are not evaluated here"]


def _undecodable(type_: ResourceType, version: str, why: str) -> str:
    return f'{type_.kind} in version "{version}" cannot be handled as a {type_.kind}: {why}'


def _refusal(
    given: Object, type_: ResourceType, schema: Schema, errors: Sequence[Diagnostic]
) -> ApiError | None:
    """What is wrong with an object that a message class reads: by schema, its rules, and istiod's checks."""
    name = given["metadata"].get("name", "")
    if not type_.custom:
        return invalid(type_, name, [_cause(each) for each in errors]) if errors else None
    if not type_.is_decoded:
        return None  # judged by its CRD's schema already
    causes = [each._asdict() for each in violations(given, schema)]
    causes += [_rule_cause(each) for each in errors if _is_schema_rule(each)]
    known = {each["field"] for each in causes}
    others = [each for each in errors if each.field not in known and not _is_schema_rule(each)]
    if causes:
        return invalid(type_, name, [*causes, *map(_cause, others)])
    if not others:
        return None
    listed = "; ".join(f"{each.field}: {each.message}" if each.field else each.message for each in others)
    webhook = 'admission webhook "validation.istio.io" denied the request'
    return bad_request(f"{webhook}: configuration is invalid: {listed}")


def _is_schema_rule(error: Diagnostic) -> bool:
    """Whether this is a rule that Istio's CRDs write in CEL."""
    return error.code == "broken-rule"


def _rule_cause(error: Diagnostic) -> dict[str, str]:
    return {"reason": "FieldValueInvalid", "message": error.message, "field": error.field}


def _cause(error: Diagnostic) -> dict[str, str]:
    if error.code == "missing-field":
        return {"reason": "FieldValueRequired", "message": "Required value", "field": error.field}
    return {
        "reason": "FieldValueInvalid",
        "message": f"Invalid value: {error.message}",
        "field": error.field,
    }
