"""Several processes that serve the same ports (`minimesh proxy --concurrency N`).

    parent ──fork──► fork server ──fork──► worker 0 .. N-1
      │ ◄────────────── channel ─────────────► │      (one for each worker)
      ADS stream, admin API, signals            connections, requests, access log

The parent holds a **mirror**: a live configuration like that of the workers, which compiles every update
first and never takes a connection. What it refuses, no worker sees; what it takes goes to all workers, and is
acknowledged when all have it. The admin API shows the mirror, with the numbers of all workers summed up. The
mirror opens the server sockets and hands them to the workers, so that a connection that waits for a worker
which dies waits for its successor.

* `channel`       frames between parent and worker, requests and replies
* `fork_server`   the process that forks workers, and tells when one ends
* `sockets`       server sockets: opened in the parent, asked for by workers
* `worker`        what a worker process does
* `journal`       the present configuration, for a worker that comes later
* `numbers`       what workers count, and how it is summed up
* `parent`        starts, tells, asks, replaces and ends workers
* `workers_view`  what the admin API shows of all of them

What each worker has for itself: connection pools, load balancer, health checks, outlier detection, and the
counts behind circuit breakers and local rate limits: a limit of 10 admits 10 in each worker (Envoy's threads
share one count). One worker is the default; then none of this exists.
"""
