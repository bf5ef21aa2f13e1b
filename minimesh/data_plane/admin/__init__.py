"""The admin API of a proxy, answering as Envoy's does, in text and JSON.

* `app`           the HTTP side: paths, parameters, statuses; the only place that knows aiohttp
* `config_dump`   /config_dump
* `status_dumps`  /clusters, /listeners, /server_info, /certs, /memory
* `server_state`  LIVE, DRAINING and so on
"""
