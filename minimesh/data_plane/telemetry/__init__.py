"""What a proxy tells about its traffic: the facts of each stream, the access log, metrics.

* `stream_info`         the facts of one stream, filled in by the engine
* `access_log`          who is logged, how, where to; the names that others use
* `access_log_file`     batches of lines into files
* `access_log_filters`  which streams are worth a line
* `format_language`     syntax of Envoy's format strings
* `operators`           meaning of the command operators, a module for each kind of them
* `format_compiler`     a format -> one generated function
* `time_format`         time stamps
* `stats`               counters, gauges, histograms
* `stats_text`          metrics as text, JSON and for Prometheus
"""
