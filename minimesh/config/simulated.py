"""Which fields this version acts on. Whatever else is set is accepted and reported, never dropped silently.

One table for each kind, one path a line. `[]` stands for any item of a list; a path covers what encloses it,
and a path that ends in `**` covers all below it. When a feature comes to life its line is added here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from minimesh.config.simulated_ingress import INGRESS_ACTED_ON

ACTED_ON: dict[str, str] = {
    "Namespace": """
        metadata.labels.**
        spec.finalizers
    """,
    "Service": """
        spec.selector.**
        spec.ports[].name
        spec.ports[].port
        spec.ports[].protocol
        spec.ports[].targetPort
        spec.ports[].appProtocol
        spec.ports[].nodePort
        spec.allocateLoadBalancerNodePorts
        spec.type
        spec.clusterIP
        spec.clusterIPs
        spec.externalName
    """,
    "ServiceAccount": """
    """,
    "Pod": """
        {pod}
    """,
    "ReplicaSet": """
        spec.replicas
        spec.minReadySeconds
        spec.selector.**
        spec.template.metadata.labels.**
        spec.template.metadata.annotations.**
        spec.template.metadata.name
        spec.template.metadata.namespace
        {spec.template.pod}
    """,
    "Deployment": """
        spec.replicas
        spec.minReadySeconds
        spec.paused
        spec.progressDeadlineSeconds
        spec.revisionHistoryLimit
        spec.strategy.**
        spec.selector.**
        spec.template.metadata.labels.**
        spec.template.metadata.annotations.**
        spec.template.metadata.name
        spec.template.metadata.namespace
        {spec.template.pod}
    """,
    "Secret": """
        type
        data.**
        stringData.**
        immutable
    """,
    "ConfigMap": """
        data.**
        binaryData.**
        immutable
    """,
    "Gateway": """
        spec.selector.**
        spec.servers[].name
        spec.servers[].hosts
        spec.servers[].bind
        spec.servers[].tls.httpsRedirect
        spec.servers[].tls.mode
        spec.servers[].tls.serverCertificate
        spec.servers[].tls.privateKey
        spec.servers[].tls.caCertificates
        spec.servers[].tls.credentialName
        spec.servers[].tls.credentialNames
        spec.servers[].tls.caCertCredentialName
        spec.servers[].tls.tlsCertificates[].serverCertificate
        spec.servers[].tls.tlsCertificates[].privateKey
        spec.servers[].tls.subjectAltNames
        spec.servers[].tls.verifyCertificateSpki
        spec.servers[].tls.verifyCertificateHash
        spec.servers[].tls.minProtocolVersion
        spec.servers[].tls.maxProtocolVersion
        spec.servers[].tls.cipherSuites
        spec.servers[].port.number
        spec.servers[].port.protocol
        spec.servers[].port.name
        spec.servers[].port.targetPort
    """,
    "VirtualService": """
        spec.hosts
        spec.gateways
        spec.exportTo
        spec.http[].name
        spec.http[].match[].name
        spec.http[].match[].uri.**
        spec.http[].match[].scheme.**
        spec.http[].match[].method.**
        spec.http[].match[].authority.**
        spec.http[].match[].headers.**
        spec.http[].match[].withoutHeaders.**
        spec.http[].match[].queryParams.**
        spec.http[].match[].ignoreUriCase
        spec.http[].match[].port
        spec.http[].match[].gateways
        spec.http[].match[].sourceLabels.**
        spec.http[].match[].sourceNamespace
        spec.http[].match[].statPrefix
        spec.http[].delegate.**
        spec.http[].route[].destination.**
        spec.http[].route[].weight
        spec.http[].route[].headers.**
        spec.http[].headers.**
        spec.http[].redirect.**
        spec.http[].directResponse.**
        spec.http[].rewrite.**
        spec.http[].timeout
        spec.http[].retries.attempts
        spec.http[].retries.perTryTimeout
        spec.http[].retries.retryOn
        spec.http[].retries.retryIgnorePreviousHosts
        spec.http[].retries.retryRemoteLocalities
        spec.http[].retries.backoff
        spec.http[].fault.delay.fixedDelay
        spec.http[].fault.delay.percentage.**
        spec.http[].fault.delay.percent
        spec.http[].fault.abort.httpStatus
        spec.http[].fault.abort.grpcStatus
        spec.http[].fault.abort.percentage.**
        spec.http[].mirror.**
        spec.http[].mirrors[].destination.**
        spec.http[].mirrors[].percentage.**
        spec.http[].mirrorPercentage.**
        spec.http[].mirrorPercent
        spec.http[].corsPolicy.**
        spec.tls[].match[].sniHosts
        spec.tls[].match[].destinationSubnets
        spec.tls[].match[].port
        spec.tls[].match[].sourceLabels.**
        spec.tls[].match[].gateways
        spec.tls[].match[].sourceNamespace
        spec.tls[].route[].destination.**
        spec.tls[].route[].weight
        spec.tcp[].match[].destinationSubnets
        spec.tcp[].match[].port
        spec.tcp[].match[].sourceLabels.**
        spec.tcp[].match[].gateways
        spec.tcp[].match[].sourceNamespace
        spec.tcp[].route[].destination.**
        spec.tcp[].route[].weight
    """,
    "DestinationRule": """
        spec.host
        spec.exportTo
        spec.subsets[].name
        spec.subsets[].labels.**
        spec.workloadSelector.**
        {spec.trafficPolicy}
        {spec.subsets[].trafficPolicy}
    """,
    "Telemetry": """
        spec.selector.**
        spec.accessLogging[].match.mode
        spec.accessLogging[].providers[].name
        spec.accessLogging[].disabled
        spec.accessLogging[].filter.expression
        spec.targetRef.**
        spec.targetRefs.**
    """,
    "EnvoyFilter": """
        spec.workloadSelector.**
        spec.targetRefs.**
        spec.priority
        spec.configPatches[].applyTo
        spec.configPatches[].match.context
        spec.configPatches[].match.proxy.**
        spec.configPatches[].match.listener.name
        spec.configPatches[].match.listener.portNumber
        spec.configPatches[].match.listener.listenerFilter
        spec.configPatches[].match.listener.filterChain.name
        spec.configPatches[].match.listener.filterChain.sni
        spec.configPatches[].match.listener.filterChain.transportProtocol
        spec.configPatches[].match.listener.filterChain.applicationProtocols
        spec.configPatches[].match.listener.filterChain.destinationPort
        spec.configPatches[].match.listener.filterChain.filter.**
        spec.configPatches[].match.routeConfiguration.**
        spec.configPatches[].match.cluster.**
        spec.configPatches[].patch.operation
        spec.configPatches[].patch.value.**
    """,
    "Sidecar": """
        spec.workloadSelector.**
        spec.ingress[].port.number
        spec.ingress[].port.protocol
        spec.ingress[].port.name
        spec.ingress[].bind
        spec.ingress[].captureMode
        spec.ingress[].defaultEndpoint
        spec.ingress[].connectionPool.**
        spec.inboundConnectionPool.**
        spec.egress[].captureMode
        spec.egress[].hosts
        spec.egress[].port.number
        spec.egress[].port.protocol
        spec.egress[].port.name
        spec.egress[].bind
        spec.outboundTrafficPolicy.mode
    """,
    "ServiceEntry": """
        spec.hosts
        spec.addresses
        spec.ports[].number
        spec.ports[].protocol
        spec.ports[].name
        spec.ports[].targetPort
        spec.location
        spec.resolution
        spec.endpoints[].address
        spec.endpoints[].ports.**
        spec.endpoints[].labels.**
        spec.endpoints[].locality
        spec.endpoints[].weight
        spec.endpoints[].network
        spec.workloadSelector.**
        spec.subjectAltNames
        spec.exportTo
    """,
    "WorkloadEntry": """
        spec.address
        spec.ports.**
        spec.labels.**
        spec.network
        spec.locality
        spec.weight
    """,
    "ProxyConfig": """
        spec.selector.**
        spec.concurrency
        spec.environmentVariables.**
        spec.image.imageType
    """,
    "MeshConfig": """
        accessLogFile
        accessLogFormat
        accessLogEncoding
        disableEnvoyListenerLog
        extensionProviders[].name
        extensionProviders[].envoyFileAccessLog.**
        defaultProviders.accessLogging
        outboundTrafficPolicy.mode
        connectTimeout
        tcpKeepalive.**
        dnsRefreshRate
        protocolDetectionTimeout
        h2UpgradePolicy
        localityLbSetting.**
        defaultHttpRetryPolicy.attempts
        defaultHttpRetryPolicy.retryOn
        defaultHttpRetryPolicy.perTryTimeout
        defaultHttpRetryPolicy.backoff
        defaultHttpRetryPolicy.retryIgnorePreviousHosts
        rootNamespace
        ingressClass
        ingressControllerMode
        ingressService
        ingressSelector
        defaultServiceExportTo
        defaultVirtualServiceExportTo
        defaultDestinationRuleExportTo
        pathNormalization.normalization
        defaultConfig.gatewayTopology.numTrustedProxies
        defaultConfig.concurrency
        defaultConfig.proxyMetadata.**
        defaultConfig.image.imageType
    """,
    "WorkloadGroup": """
        spec.metadata.labels.**
        spec.probe.initialDelaySeconds
        spec.probe.timeoutSeconds
        spec.probe.periodSeconds
        spec.probe.successThreshold
        spec.probe.failureThreshold
        spec.probe.httpGet.**
        spec.probe.tcpSocket.**
        spec.probe.grpc.**
        spec.template.ports.**
        spec.template.labels.**
        spec.template.network
        spec.template.locality
        spec.template.weight
    """,
}
"""Kind -> the paths that are acted on. A line in braces stands for a block of SHARED below that path."""

EVERY_KIND = """
    metadata.name
    metadata.namespace
    metadata.labels.**
    metadata.annotations.**
    metadata.creationTimestamp
    metadata.uid
    metadata.resourceVersion
    metadata.generation
    metadata.managedFields.**
    status.**
    apiVersion
    kind
"""
"""Acted on for all kinds; what a server wrote (as `kubectl get -o yaml` shows it) needs no report."""

_POLICY = """
    tls.mode
    tls.clientCertificate
    tls.privateKey
    tls.caCertificates
    tls.caCrl
    tls.credentialName
    tls.subjectAltNames
    tls.sni
    tls.insecureSkipVerify
    loadBalancer.simple
    loadBalancer.consistentHash.**
    loadBalancer.localityLbSetting.**
    loadBalancer.warmup.**
    loadBalancer.warmupDurationSecs
    connectionPool.tcp.maxConnections
    connectionPool.tcp.connectTimeout
    connectionPool.tcp.tcpKeepalive.**
    connectionPool.tcp.idleTimeout
    connectionPool.tcp.maxConnectionDuration
    connectionPool.http.http1MaxPendingRequests
    connectionPool.http.http2MaxRequests
    connectionPool.http.maxRequestsPerConnection
    connectionPool.http.maxRetries
    connectionPool.http.idleTimeout
    connectionPool.http.h2UpgradePolicy
    connectionPool.http.useClientProtocol
    connectionPool.http.maxConcurrentStreams
    connectionPool.http.http2KeepAlive.**
    outlierDetection.consecutiveErrors
    outlierDetection.consecutive5xxErrors
    outlierDetection.consecutiveGatewayErrors
    outlierDetection.consecutiveLocalOriginFailures
    outlierDetection.splitExternalLocalOriginErrors
    outlierDetection.interval
    outlierDetection.baseEjectionTime
    outlierDetection.maxEjectionPercent
    outlierDetection.minHealthPercent
"""
SHARED: dict[str, str] = {
    "pod": """
        spec.containers[].name
        spec.containers[].image
        spec.containers[].command
        spec.containers[].args
        spec.containers[].env[].name
        spec.containers[].env[].value
        spec.containers[].env[].valueFrom.fieldRef.**
        spec.containers[].env[].valueFrom.configMapKeyRef.**
        spec.containers[].env[].valueFrom.secretKeyRef.**
        spec.containers[].envFrom.**
        spec.containers[].readinessProbe.httpGet.path
        spec.containers[].readinessProbe.httpGet.port
        spec.containers[].readinessProbe.tcpSocket.port
        spec.containers[].ports[].name
        spec.containers[].ports[].containerPort
        spec.containers[].ports[].protocol
        spec.containers[].workingDir
        spec.hostNetwork
        spec.serviceAccountName
        spec.serviceAccount
        spec.terminationGracePeriodSeconds
    """,
    "trafficPolicy": "\n".join(
        (
            *_POLICY.split(),
            "retryBudget.percent",
            "retryBudget.minRetryConcurrency",
            "portLevelSettings[].port.number",
            *(f"portLevelSettings[].{path}" for path in _POLICY.split()),
        )
    ),
}
"""Blocks that stand in more than one place: `{spec.template.pod}` puts `pod` below `spec.template`."""


_REDIRECTION = "metadata.annotations[traffic.sidecar.istio.io/"
"""What of a pod's calls is to be redirected: nothing is here."""


def not_simulated(kind: str, paths: Iterable[str]) -> list[str]:
    """Those of the `paths` written in a document that nothing acts on; the outermost path of each subtree.

    Items of one list are reported once: `spec.http[0].fault` and not `spec.http[1].fault` too.
    """
    exact, subtrees = _compiled(kind)
    found: list[str] = []
    reported: tuple[str, ...] = ()
    for path in paths:
        plain = re.sub(r"\[\d+\]", "[]", path)
        if _REDIRECTION in plain:
            found.append(path)
            continue
        if not plain or plain in exact or _below(plain, subtrees) or _below(plain, reported):
            continue
        if plain.endswith("[]") and plain[:-2] in exact:
            continue
        reported = (*reported, plain)
        found.append(path)
    return found


def _below(path: str, roots: Iterable[str]) -> bool:
    return any(path.startswith(root) and path[len(root) : len(root) + 1] in ("", ".", "[") for root in roots)


@functools.cache
def _compiled(kind: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """The acted-on paths with all that enclose them, and the roots of acted-on subtrees."""
    exact: set[str] = set()
    subtrees: list[str] = []
    for line in [*EVERY_KIND.split(), *acted_on_paths(kind)]:
        path = line.removesuffix(".**")
        if path != line:
            subtrees.append(path)
        while path:
            exact.add(path)
            path = path.removesuffix("[]") if path.endswith("[]") else path.rpartition(".")[0]
    return frozenset(exact), tuple(subtrees)


def acted_on_paths(kind: str) -> Iterable[str]:
    """The lines of a kind's own table, with the shared blocks put in."""
    for line in (ACTED_ON.get(kind) or INGRESS_ACTED_ON.get(kind, "")).split():
        if not line.startswith("{"):
            yield line
            continue
        prefix, _, block = line.strip("{}").rpartition(".")
        base = prefix if block == "pod" else f"{prefix}.{block}"
        for below in SHARED[block].split():
            yield f"{base}.{below}" if base else below
