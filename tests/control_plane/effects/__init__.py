"""For each field that acts: a value that makes a difference to what proxies are sent.

A kind's table maps a path to a value, or to a value and what else must be `given` for it to matter. The test
(`test_field_effects`) configures a mesh with and without the field.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.control_plane.effects import gateway_api, ingress, istio
from tests.control_plane.effects.effect import Effect


def effects() -> Iterator[Effect]:
    """Every effect of every kind."""
    yield from istio.effects()
    yield from gateway_api.effects()
    yield from ingress.effects()
