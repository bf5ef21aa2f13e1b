"""ProxyConfig: settings of the sidecars themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated

from minimesh.config.istio.selection import WorkloadLabelSelector
from minimesh.config.schema import Length, Message, Range, message

Concurrency = Annotated[int, Range(0, 2**31 - 1)]


@message
class ProxyImage(Message):
    """Which build of the proxy's image."""

    image_type: str = ""


@message
class ProxyConfig(Message):
    """Threads, environment and image of the selected sidecars."""

    selector: WorkloadLabelSelector | None = None
    concurrency: Concurrency | None = None
    environment_variables: Mapping[str, Annotated[str, Length(0, 2048)]] = field(default_factory=dict)
    image: ProxyImage | None = None
