"""The admin API of a proxy, answering as Envoy's does, in text and JSON.

* `server`        the HTTP side: a listener of our own
* `app`           the commands: paths, parameters, statuses
* `view`          whose state is shown: this process's, or that of all workers
* `config_dump`   /config_dump
* `status_dumps`  /clusters, /listeners, /server_info, /certs, /memory
* `server_state`  LIVE, DRAINING and so on
"""
