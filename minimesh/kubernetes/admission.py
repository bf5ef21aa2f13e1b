"""Whether an object may be stored: field names and types as the API server decodes them, then its rules."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from minimesh.config.diagnostics import Diagnostic, Severity
from minimesh.config.resources import Resource
from minimesh.config.validate import admission_warnings, strict_decoding_error
from minimesh.kubernetes.api_errors import ApiError, bad_request, invalid
from minimesh.kubernetes.objects import Object, to_resource
from minimesh.kubernetes.resource_types import ResourceType
from minimesh.kubernetes.schemas import schema_of_kind
from minimesh.kubernetes.strict_fields import mistyped, pruned, unknown_fields


class FieldValidation(StrEnum):
    """What becomes of a field that the kind does not have."""

    IGNORE = "Ignore"
    WARN = "Warn"
    STRICT = "Strict"


def decoded(
    given: Object, type_: ResourceType, version: str, validation: FieldValidation
) -> tuple[Object, list[str]]:
    """The object without unknown fields, and warnings about these. ApiError (400) where they are refused."""
    schema = schema_of_kind(type_.group, version, type_.kind)
    if schema is None:
        return given, []
    wrong = mistyped(given, schema, type_.kind)
    if wrong is not None:
        raise bad_request(_undecodable(type_, version, wrong))
    unknown = [f'unknown field "{path}"' for path in unknown_fields(given, schema)]
    if unknown and validation is FieldValidation.STRICT:
        raise bad_request(_undecodable(type_, version, f"strict decoding error: {', '.join(unknown)}"))
    found: Object = pruned(given, schema) if unknown else given
    return found, unknown if validation is FieldValidation.WARN else []


def admitted(
    given: Object, type_: ResourceType, version: str, validation: FieldValidation
) -> tuple[Resource, list[str]]:
    """The resource to store, and warnings. ApiError when a rule forbids it."""
    resource, diagnostics = to_resource(given, type_)
    warnings = admission_warnings(diagnostics)
    strange = strict_decoding_error(diagnostics)
    if strange is not None and validation is FieldValidation.STRICT:
        raise bad_request(_undecodable(type_, version, strange))
    if strange is not None and validation is FieldValidation.WARN:
        warnings.extend(strange.removeprefix("strict decoding error: ").split(", "))
    errors = [
        each
        for each in diagnostics
        if each.severity is Severity.ERROR and each.code not in ("unknown-field", "duplicate-key")
    ]
    name = given["metadata"].get("name", "")
    if errors:
        raise _refused(type_, name, errors)
    if resource is None:
        cause = {"reason": "FieldValueRequired", "message": "Required value: name is required"}
        raise invalid(type_, name, [{**cause, "field": "metadata.name"}])
    return resource, warnings


def _undecodable(type_: ResourceType, version: str, why: str) -> str:
    return f'{type_.kind} in version "{version}" cannot be handled as a {type_.kind}: {why}'


def _refused(type_: ResourceType, name: str, errors: Iterable[Diagnostic]) -> ApiError:
    if type_.custom:
        listed = "; ".join(f"{each.field}: {each.message}" if each.field else each.message for each in errors)
        webhook = 'admission webhook "validation.istio.io" denied the request'
        return bad_request(f"{webhook}: configuration is invalid: {listed}")
    return invalid(type_, name, [_cause(each) for each in errors])


def _cause(error: Diagnostic) -> dict[str, str]:
    if error.code == "missing-field":
        return {"reason": "FieldValueRequired", "message": "Required value", "field": error.field}
    return {
        "reason": "FieldValueInvalid",
        "message": f"Invalid value: {error.message}",
        "field": error.field,
    }
