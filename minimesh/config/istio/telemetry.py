"""Telemetry: access logs, metrics and traces of the selected workloads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated, Any

from minimesh.config.istio.selection import (
    ONE_TARGET,
    PolicyTargetReference,
    TargetRefs,
    WorkloadLabelSelector,
)
from minimesh.config.schema import Duration, Length, Message, Percentage, Req, Rule, message

NonEmpty = Annotated[str, Length(1)]


class WorkloadMode(StrEnum):
    """Which side of a request reports."""

    CLIENT_AND_SERVER = "CLIENT_AND_SERVER"
    CLIENT = "CLIENT"
    SERVER = "SERVER"


@message
class ProviderRef(Message):
    """A provider by its name in the mesh configuration; `envoy` logs to the proxy's own output."""

    name: Req[NonEmpty] = ""


@message
class LogSelector(Message):
    """Which traffic is logged."""

    mode: WorkloadMode | None = None


@message
class AccessLoggingFilter(Message):
    """A CEL expression that must hold for a request to be logged."""

    expression: str = ""


@message
class AccessLogging(Message):
    """Who logs what."""

    match: LogSelector | None = None
    providers: tuple[ProviderRef, ...] = ()
    disabled: bool | None = None
    filter: AccessLoggingFilter | None = None


class IstioMetric(StrEnum):
    """The standard metrics."""

    ALL_METRICS = "ALL_METRICS"
    REQUEST_COUNT = "REQUEST_COUNT"
    REQUEST_DURATION = "REQUEST_DURATION"
    REQUEST_SIZE = "REQUEST_SIZE"
    RESPONSE_SIZE = "RESPONSE_SIZE"
    TCP_OPENED_CONNECTIONS = "TCP_OPENED_CONNECTIONS"
    TCP_CLOSED_CONNECTIONS = "TCP_CLOSED_CONNECTIONS"
    TCP_SENT_BYTES = "TCP_SENT_BYTES"
    TCP_RECEIVED_BYTES = "TCP_RECEIVED_BYTES"
    GRPC_REQUEST_MESSAGES = "GRPC_REQUEST_MESSAGES"
    GRPC_RESPONSE_MESSAGES = "GRPC_RESPONSE_MESSAGES"


@message
class MetricSelector(Message):
    """One metric, standard or custom, on one side or both."""

    metric: IstioMetric | None = None
    custom_metric: NonEmpty | None = None
    mode: WorkloadMode | None = None


class TagOverrideOperation(StrEnum):
    """What happens to a tag."""

    UPSERT = "UPSERT"
    REMOVE = "REMOVE"


def _upsert_has_value(given: Mapping[str, Any]) -> bool:
    return given.get("operation") is not TagOverrideOperation.UPSERT or bool(given.get("value"))


def _remove_has_none(given: Mapping[str, Any]) -> bool:
    return given.get("operation") is not TagOverrideOperation.REMOVE or "value" not in given


@message
class TagOverride(Message):
    """A change to one tag of a metric."""

    schema_rules = (
        Rule("value must be set when operation is UPSERT", _upsert_has_value),
        Rule("value must not be set when operation is REMOVE", _remove_has_none),
    )

    operation: TagOverrideOperation | None = None
    value: str = ""


@message
class MetricsOverrides(Message):
    """A change to some metrics."""

    match: MetricSelector | None = None
    disabled: bool | None = None
    tag_overrides: Mapping[str, TagOverride] = field(default_factory=dict)


@message
class Metrics(Message):
    """Where metrics go and how they are changed."""

    providers: tuple[ProviderRef, ...] = ()
    overrides: tuple[MetricsOverrides, ...] = ()
    reporting_interval: Duration | None = None


@message
class TracingSelector(Message):
    """Which traffic is traced."""

    mode: WorkloadMode | None = None


@message
class Literal(Message):
    """A tag with a fixed value."""

    value: Req[NonEmpty] = ""


@message
class Environment(Message):
    """A tag from an environment variable."""

    name: Req[NonEmpty] = ""
    default_value: str = ""


@message
class RequestHeader(Message):
    """A tag from a request header."""

    name: Req[NonEmpty] = ""
    default_value: str = ""


@message
class Formatter(Message):
    """A tag written as an access-log format."""

    value: Req[NonEmpty] = ""


@message
class CustomTag(Message):
    """A tag on spans; at most one source."""

    literal: Literal | None = None
    environment: Environment | None = None
    header: RequestHeader | None = None
    formatter: Formatter | None = None


@message
class Tracing(Message):
    """Where spans go, how many, and with which tags."""

    match: TracingSelector | None = None
    providers: tuple[ProviderRef, ...] = ()
    random_sampling_percentage: Percentage | None = None
    disable_span_reporting: bool | None = None
    disable_context_propagation: bool | None = None
    custom_tags: Mapping[str, CustomTag] = field(default_factory=dict)
    use_request_id_for_trace_sampling: bool | None = None
    enable_istio_tags: bool | None = None


@message
class Telemetry(Message):
    """Telemetry of the selected workloads, of a namespace, or (in the root namespace) of the mesh."""

    schema_rules = (ONE_TARGET,)

    selector: WorkloadLabelSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: TargetRefs = ()
    tracing: tuple[Tracing, ...] = ()
    metrics: tuple[Metrics, ...] = ()
    access_logging: tuple[AccessLogging, ...] = ()
