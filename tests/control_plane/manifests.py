"""One manifest that uses every field of routing and traffic policy that is translated."""

EVERYTHING = r"""
apiVersion: v1
kind: Service
metadata: {name: everything}
spec:
  selector: {app: everything}
  ports:
  - {name: http-web, port: 9080, targetPort: 9080}
  - {name: grpc-api, port: 9090}
  - {name: tcp-raw, port: 9100}
  - {name: unknown, port: 9200}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec:
  clusterIP: None
  selector: {app: httpbin}
  ports:
  - {name: http, port: 80}
  - {name: tcp, port: 9000}
---
apiVersion: v1
kind: Service
metadata: {name: alias}
spec:
  type: ExternalName
  externalName: everything.default.svc.cluster.local
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: external}
spec:
  hosts: [api.example.com]
  location: MESH_EXTERNAL
  resolution: DNS
  ports:
  - {name: http, number: 80, protocol: HTTP}
  endpoints:
  - {address: 127.0.0.1, ports: {http: 8088}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: everything}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*.example.com"]
  - port: {number: 80, name: http-redirect, protocol: HTTP}
    hosts: [secure.example.com]
    tls: {httpsRedirect: true}
  - port: {number: 9100, name: tcp, protocol: TCP}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: everything}
spec:
  hosts: ["everything.example.com", everything]
  gateways: [everything, mesh]
  http:
  - name: matches
    match:
    - name: all
      uri: {exact: /exact}
      scheme: {exact: http}
      method: {regex: GET|POST}
      authority: {prefix: every}
      headers:
        x-exact: {exact: a}
        x-prefix: {prefix: b}
        x-regex: {regex: "c.*"}
        x-present: {}
      withoutHeaders:
        x-absent: {exact: d}
        x-missing: {}
      queryParams:
        q: {exact: "1"}
        r: {regex: "[0-9]+"}
      ignoreUriCase: true
      statPrefix: stat
    route:
    - destination: {host: everything, port: {number: 9080}, subset: v1}
      weight: 25
      headers:
        request: {set: {x-a: "1"}, add: {x-b: "2"}, remove: [x-c]}
        response: {set: {x-d: "3"}}
    - destination: {host: everything, port: {number: 9080}, subset: v2}
      weight: 75
    headers:
      request: {set: {":authority": other.example.com}}
    timeout: 5s
    retries: {attempts: 3, perTryTimeout: 2s, retryOn: "5xx,503,reset", backoff: 25ms}
    mirrors:
    - destination: {host: everything, port: {number: 9080}}
      percentage: {value: 12.5}
    corsPolicy:
      allowOrigins: [{exact: "https://a.com"}, {regex: "https://.*"}]
      allowMethods: [GET, POST]
      allowHeaders: [x-a]
      exposeHeaders: [x-b]
      maxAge: 24h
      allowCredentials: true
    fault:
      delay: {fixedDelay: 1s, percentage: {value: 10}}
      abort: {httpStatus: 503, percentage: {value: 1.5}}
  - name: rewritten
    match:
    - uri: {prefix: /rewritten}
    - uri: {regex: "/r[0-9]+"}
    rewrite: {uri: /, authority: rewritten.example.com}
    route:
    - destination: {host: everything, port: {number: 9080}}
  - name: regex-rewritten
    match: [{uri: {prefix: /regex}}]
    rewrite: {uriRegexRewrite: {match: "/regex/(.*)", rewrite: '/\1'}}
    route:
    - destination: {host: everything, port: {number: 9080}}
  - name: moved
    match: [{uri: {prefix: /moved}}]
    redirect: {uri: /here, authority: here.example.com, scheme: https, port: 8443, redirectCode: 302}
  - name: direct
    match: [{uri: {prefix: /direct}}]
    directResponse: {status: 418, body: {string: "short and stout"}}
  - name: rest
    route:
    - destination: {host: everything, port: {number: 9080}}
  tcp:
  - match: [{port: 9100}]
    route:
    - destination: {host: everything, port: {number: 9100}}
      weight: 60
    - destination: {host: everything, port: {number: 9080}}
      weight: 40
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: everything}
spec:
  host: everything
  trafficPolicy:
    connectionPool:
      tcp:
        maxConnections: 100
        connectTimeout: 3s
        idleTimeout: 60s
        tcpKeepalive: {probes: 3, time: 30s, interval: 10s}
      http:
        http1MaxPendingRequests: 10
        http2MaxRequests: 20
        maxRetries: 4
        maxRequestsPerConnection: 5
        idleTimeout: 90s
    outlierDetection:
      consecutive5xxErrors: 5
      consecutiveGatewayErrors: 3
      interval: 10s
      baseEjectionTime: 30s
      maxEjectionPercent: 50
      minHealthPercent: 30
    loadBalancer: {simple: ROUND_ROBIN, warmupDurationSecs: 30s}
  subsets:
  - name: v1
    labels: {version: v1}
    trafficPolicy:
      loadBalancer:
        consistentHash: {httpHeaderName: x-user, ringHash: {minimumRingSize: 2048}}
  - name: v2
    labels: {version: v2}
    trafficPolicy:
      portLevelSettings:
      - port: {number: 9080}
        loadBalancer:
          consistentHash: {httpCookie: {name: user, ttl: 60s}, maglev: {tableSize: 65537}}
"""
