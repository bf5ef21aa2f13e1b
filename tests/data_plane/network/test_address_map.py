"""Configured addresses and the real ones that stand for them."""

import pytest

from minimesh.data_plane.network.address_map import AddressMap, BindAddress, parse_port_map

POD = AddressMap("127.10.0.5", "127.11.0.5", ("127.0.0.1",), {80: 20080}, capture=True)


@pytest.mark.parametrize(
    ("mapping", "configured", "real"),
    [
        (AddressMap(), ("0.0.0.0", 8080), [("0.0.0.0", 8080)]),
        (AddressMap(), ("127.0.0.1", 15080), [("127.0.0.1", 15080)]),
        (POD, ("0.0.0.0", 8080), [("127.10.0.5", 8080), ("127.0.0.1", 8080)]),
        (POD, ("0.0.0.0", 80), [("127.10.0.5", 20080), ("127.0.0.1", 20080)]),
        (POD, ("127.0.0.1", 15080), [("127.11.0.5", 15080)]),
        (POD, ("127.10.0.5", 80), [("127.10.0.5", 20080)]),
    ],
)
def test_bind_addresses(
    mapping: AddressMap, configured: tuple[str, int], real: list[tuple[str, int]]
) -> None:
    assert mapping.bind_addresses(*configured) == tuple(BindAddress(*each) for each in real)


def test_captured_ports_remember_what_the_caller_meant() -> None:
    assert POD.capture_addresses([80, 9000, 80]) == (
        BindAddress("127.10.0.5", 20080, 80),
        BindAddress("127.10.0.5", 9000, 9000),
    )
    assert AddressMap("127.10.0.5").capture_addresses([80]) == ()


def test_port_map_text() -> None:
    assert parse_port_map("80=20080, 443=20443") == {80: 20080, 443: 20443}
    assert parse_port_map("") == {}


@pytest.mark.parametrize("text", ["80", "a=1", "80=0", "80=70000", "=1"])
def test_bad_port_map(text: str) -> None:
    with pytest.raises(ValueError, match="CONFIGURED=REAL"):
        parse_port_map(text)
