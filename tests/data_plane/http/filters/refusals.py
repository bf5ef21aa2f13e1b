"""How configurations of filters are refused."""

from __future__ import annotations

import asyncio

import pytest

from minimesh.data_plane.xds_client.compile.error import CompileError
from tests.data_plane.http.filters.chains import routes
from tests.data_plane.http.lab import Lab


def refusal_of(filters: str) -> str:
    """The error for a filter chain."""
    assert asyncio.get_running_loop()
    with pytest.raises(CompileError) as caught:
        Lab(routes(), filters)._filters()
    return str(caught.value)


def refusal_of_routes(table: str) -> str:
    """The error for a route configuration."""
    with pytest.raises(CompileError) as caught:
        Lab("").route_table(table)
    return str(caught.value)
