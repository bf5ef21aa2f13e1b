"""From messages to live objects: the only part of the data plane that reads protobuf, and only when told to.

* `bootstrap`      Envoy's own file -> a Bootstrap message, with the place of every field
* `ads_target`     where a bootstrap says the control plane is; the bootstrap of a pod
* `ads_client`     the gRPC stream: apply, ACK or NACK, reconnect
* `config_update`  the live configuration, and how an update changes it in one step
* `dns`            hosts of clusters that are given by name
* `compile`        messages -> what the engine runs on, one kind a module
"""
