"""Ingress and IngressClass: Kubernetes' own way to say which requests from outside reach which service."""

from __future__ import annotations

from minimesh.config.kubernetes.core import LoadBalancerStatus
from minimesh.config.schema import Int32, Message, Req, message


@message
class ServiceBackendPort(Message):
    """A port of a service, by name or number."""

    name: str = ""
    number: Int32 = 0


@message
class IngressServiceBackend(Message):
    """A service and its port."""

    name: Req[str] = ""
    port: ServiceBackendPort | None = None


@message
class TypedLocalObjectReference(Message):
    """An object of the same namespace."""

    api_group: str | None = None
    kind: Req[str] = ""
    name: Req[str] = ""


@message
class IngressBackend(Message):
    """Where requests go: a service, or another object."""

    service: IngressServiceBackend | None = None
    resource: TypedLocalObjectReference | None = None


@message
class HTTPIngressPath(Message):
    """A path, how it is compared, and where its requests go."""

    path: str = ""
    path_type: str = ""
    backend: Req[IngressBackend | None] = None


@message
class HTTPIngressRuleValue(Message):
    """The paths of a host."""

    paths: Req[tuple[HTTPIngressPath, ...]] = ()


@message
class IngressRule(Message):
    """A host (all when empty) and its paths."""

    host: str = ""
    http: HTTPIngressRuleValue | None = None


@message
class IngressTLS(Message):
    """Hosts served by HTTPS, and the Secret that holds their certificate."""

    hosts: tuple[str, ...] = ()
    secret_name: str = ""


@message
class IngressSpec(Message):
    """Rules for requests from outside; what none matches goes to the default backend."""

    ingress_class_name: str = ""
    default_backend: IngressBackend | None = None
    tls: tuple[IngressTLS, ...] = ()
    rules: tuple[IngressRule, ...] = ()


@message
class IngressStatus(Message):
    """Where the load balancer is."""

    load_balancer: LoadBalancerStatus | None = None


@message
class IngressClassParameters(Message):
    """An object with settings of a class."""

    api_group: str | None = None
    kind: Req[str] = ""
    name: Req[str] = ""
    namespace: str | None = None
    scope: str | None = None


@message
class IngressClassSpec(Message):
    """The controller that takes care of the Ingresses of a class."""

    controller: str = ""
    parameters: IngressClassParameters | None = None
