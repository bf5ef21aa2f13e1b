"""The security policies: who may call what, how peers prove who they are, which tokens requests carry."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from minimesh.config.istio.selection import (
    ONE_TARGET,
    PolicyTargetReference,
    TargetRefs,
    WorkloadLabelSelector,
)
from minimesh.config.schema import Duration, Length, Message, Pattern, Req, Rule, message

NonEmpty = Annotated[str, Length(1)]
ServiceAccounts = Annotated[tuple[Annotated[str, Length(0, 320)], ...], Length(0, 16)]


class Action(StrEnum):
    """What an AuthorizationPolicy does with requests that match."""

    ALLOW = "ALLOW"
    DENY = "DENY"
    AUDIT = "AUDIT"
    CUSTOM = "CUSTOM"


_ALSO_NAMES_CALLERS = {"principals", "notPrincipals", "namespaces", "notNamespaces"}


def _accounts_alone(given: Mapping[str, Any]) -> bool:
    if "serviceAccounts" not in given and "notServiceAccounts" not in given:
        return True
    return _ALSO_NAMES_CALLERS.isdisjoint(given)


@message
class Source(Message):
    """Where a request comes from; all that is given must match."""

    schema_rules = (Rule("Cannot set serviceAccounts with namespaces or principals", _accounts_alone),)

    principals: tuple[str, ...] = ()
    not_principals: tuple[str, ...] = ()
    request_principals: tuple[str, ...] = ()
    not_request_principals: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    not_namespaces: tuple[str, ...] = ()
    service_accounts: ServiceAccounts = ()
    not_service_accounts: ServiceAccounts = ()
    ip_blocks: tuple[str, ...] = ()
    not_ip_blocks: tuple[str, ...] = ()
    remote_ip_blocks: tuple[str, ...] = ()
    not_remote_ip_blocks: tuple[str, ...] = ()
    trust_domains: tuple[str, ...] = ()
    not_trust_domains: tuple[str, ...] = ()


@message
class Operation(Message):
    """What a request asks for; all that is given must match."""

    hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    not_ports: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    not_methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()


@message
class From(Message):
    """One kind of callers."""

    source: Source | None = None


@message
class To(Message):
    """One kind of requests."""

    operation: Operation | None = None


@message
class Condition(Message):
    """A condition on an attribute such as `request.headers[User-Agent]`."""

    key: Req[str] = ""
    values: tuple[str, ...] = ()
    not_values: tuple[str, ...] = ()


@message
class AuthorizationRule(Message):
    """Callers, requests and conditions; None is any, while an empty list is refused."""

    from_: Annotated[tuple[From, ...], Length(0, 512)] | None = None
    to: tuple[To, ...] | None = None
    when: tuple[Condition, ...] = ()


@message
class ExtensionProvider(Message):
    """The external authorizer, by its name in the mesh configuration."""

    name: str = ""


@message
class AuthorizationPolicy(Message):
    """Which requests to some workloads are allowed; no rules at all (None) match no request."""

    schema_rules = (ONE_TARGET,)

    selector: WorkloadLabelSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: TargetRefs = ()
    rules: Annotated[tuple[AuthorizationRule, ...], Length(0, 512)] | None = None
    action: Action | None = None
    provider: ExtensionProvider | None = None


class MutualTLSMode(StrEnum):
    """Whether a workload takes plain text, mutual TLS, or both."""

    UNSET = "UNSET"
    DISABLE = "DISABLE"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


@message
class MutualTLS(Message):
    """The mutual TLS of a workload or of one of its ports."""

    mode: MutualTLSMode | None = None


def _are_ports(modes: Mapping[str, Any]) -> bool:
    return all(0 < int(port) <= 65535 for port in modes if port.lstrip("-").isdecimal())


PortLevelMtls = Annotated[
    Mapping[str, MutualTLS],
    Length(1),
    Rule(
        "type conversion error from 'string' to 'int': the keys are port numbers",
        lambda modes: all(port.lstrip("-").isdecimal() for port in modes),
    ),
    Rule("port must be between 1-65535", _are_ports),
]


def _ports_have_workload(given: Mapping[str, Any]) -> bool:
    if "portLevelMtls" not in given:
        return True
    selector = given.get("selector")
    return selector is not None and bool(selector.match_labels)


@message
class PeerAuthentication(Message):
    """Which TLS the sidecars of some workloads ask of their callers."""

    schema_rules = (Rule("portLevelMtls requires selector", _ports_have_workload),)

    selector: WorkloadLabelSelector | None = None
    mtls: MutualTLS | None = None
    port_level_mtls: PortLevelMtls | None = None


@message
class JWTHeader(Message):
    """A header that may hold the token, after a prefix."""

    name: Req[NonEmpty] = ""
    prefix: str = ""


HeaderName = Annotated[str, Length(1), Pattern("^[-_A-Za-z0-9]+$")]


@message
class ClaimToHeader(Message):
    """A claim that is copied to a request header."""

    header: Req[HeaderName] = ""
    claim: Req[NonEmpty] = ""


class Presence(StrEnum):
    """Whether a request must have a token."""

    OPTIONAL = "OPTIONAL"
    REQUIRED = "REQUIRED"


JwksUri = Annotated[
    str,
    Length(1, 2048),
    Rule(
        "url must have scheme http:// or https://",
        lambda text: text.lower().startswith(("http://", "https://")),
    ),
]


@message
class JWTRule(Message):
    """Tokens of one issuer: where they are, and with which keys they are checked."""

    schema_rules = (
        Rule(
            "only one of jwks or jwksUri can be set",
            lambda given: not ("jwks" in given and "jwksUri" in given),
        ),
    )

    issuer: NonEmpty = ""
    audiences: tuple[NonEmpty, ...] = ()
    jwks_uri: JwksUri = ""
    jwks: str = ""
    from_headers: tuple[JWTHeader, ...] = ()
    from_params: tuple[NonEmpty, ...] = ()
    from_cookies: tuple[NonEmpty, ...] = ()
    output_payload_to_header: str = ""
    forward_original_token: bool = False
    output_claim_to_headers: tuple[ClaimToHeader, ...] = ()
    timeout: Duration | None = None
    space_delimited_claims: Annotated[tuple[NonEmpty, ...], Length(0, 64)] = ()
    presence: Presence | None = None


@message
class RequestAuthentication(Message):
    """Which tokens the requests to some workloads may carry."""

    schema_rules = (ONE_TARGET,)

    selector: WorkloadLabelSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: TargetRefs = ()
    jwt_rules: Annotated[tuple[JWTRule, ...], Length(0, 4096)] = ()
