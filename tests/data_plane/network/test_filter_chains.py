"""The choice of a filter chain."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from minimesh.data_plane.network.filter_chains import (
    ConnectionFacts,
    DuplicateMatchError,
    FilterChainMatch,
    FilterChains,
    SourceType,
)


@dataclass(frozen=True)
class Chain:
    name: str
    match: FilterChainMatch


def chosen(matches: dict[str, FilterChainMatch], facts: ConnectionFacts, default: str = "") -> str | None:
    """Name of the chain that a connection gets."""
    chains = FilterChains(
        [Chain(name, match) for name, match in matches.items()],
        Chain(default, FilterChainMatch()) if default else None,
    )
    found = chains.choose(facts)
    return found.name if found else None


def tls(server_name: str = "", *protocols: str, **others: object) -> ConnectionFacts:
    facts = ConnectionFacts(443, "10.0.0.1", "10.0.0.9", 4711, server_name, "tls", protocols)
    return facts._replace(**others)  # type: ignore[arg-type]


PLAIN = ConnectionFacts(80, "10.0.0.1", "10.0.0.9", 4711)


class TestDestination:
    def test_port_before_any_port(self) -> None:
        matches = {"80": FilterChainMatch(destination_port=80), "any": FilterChainMatch()}

        assert chosen(matches, PLAIN) == "80"
        assert chosen(matches, PLAIN._replace(destination_port=81)) == "any"

    def test_a_port_of_its_own_leads_to_the_default_when_nothing_else_of_it_fits(self) -> None:
        matches = {
            "80": FilterChainMatch(destination_port=80, prefix_ranges=(("192.168.0.0", 16),)),
            "any": FilterChainMatch(),
        }

        assert chosen(matches, PLAIN, default="default") == "default"

    def test_the_longest_prefix(self) -> None:
        matches = {
            "wide": FilterChainMatch(prefix_ranges=(("10.0.0.0", 8),)),
            "narrow": FilterChainMatch(prefix_ranges=(("10.0.0.0", 24), ("10.9.0.0", 16))),
            "any": FilterChainMatch(),
        }

        assert chosen(matches, PLAIN) == "narrow"
        assert chosen(matches, PLAIN._replace(local_host="10.1.0.1")) == "wide"
        assert chosen(matches, PLAIN._replace(local_host="::1")) == "any"


class TestServerName:
    MATCHES = {  # noqa: RUF012
        "exact": FilterChainMatch(server_names=("www.a.test",)),
        "near": FilterChainMatch(server_names=("*.www.a.test",)),
        "wide": FilterChainMatch(server_names=("*.a.test", "b.test")),
        "none": FilterChainMatch(),
    }

    @pytest.mark.parametrize(
        ("name", "chain"),
        [
            ("www.a.test", "exact"),
            ("x.www.a.test", "near"),
            ("y.x.www.a.test", "near"),
            ("other.a.test", "wide"),
            ("b.test", "wide"),
            ("a.test", "none"),
            ("", "none"),
        ],
    )
    def test_exact_then_longest_wildcard_then_none(self, name: str, chain: str) -> None:
        assert chosen(self.MATCHES, tls(name)) == chain

    def test_there_is_no_way_back_from_a_name_that_matched(self) -> None:
        matches = {
            "exact": FilterChainMatch(server_names=("a.test",), application_protocols=("h2",)),
            "none": FilterChainMatch(),
        }

        assert chosen(matches, tls("a.test", "http/1.1")) is None


class TestProtocols:
    def test_transport_protocol_before_none(self) -> None:
        matches = {"tls": FilterChainMatch(transport_protocol="tls"), "any": FilterChainMatch()}

        assert chosen(matches, tls()) == "tls"
        assert chosen(matches, PLAIN) == "any"

    def test_application_protocols_in_the_order_of_the_client(self) -> None:
        matches = {
            "h1": FilterChainMatch(application_protocols=("http/1.1", "http/1.0")),
            "h2": FilterChainMatch(application_protocols=("h2",)),
            "any": FilterChainMatch(),
        }

        assert chosen(matches, tls("", "h2", "http/1.1")) == "h2"
        assert chosen(matches, tls("", "istio", "http/1.1", "h2")) == "h1"
        assert chosen(matches, tls("", "istio")) == "any"

    def test_no_chain_of_the_transport_leads_to_the_default(self) -> None:
        matches = {"tls": FilterChainMatch(transport_protocol="tls")}

        assert chosen(matches, PLAIN) is None
        assert chosen(matches, PLAIN, default="default") == "default"


class TestSource:
    def test_local_and_external(self) -> None:
        matches = {
            "local": FilterChainMatch(source_type=SourceType.SAME_IP_OR_LOOPBACK),
            "external": FilterChainMatch(source_type=SourceType.EXTERNAL),
        }

        assert chosen(matches, PLAIN) == "external"
        assert chosen(matches, PLAIN._replace(remote_host="127.0.0.1")) == "local"
        assert chosen(matches, PLAIN._replace(remote_host="10.0.0.1")) == "local"

    def test_address_then_port(self) -> None:
        matches = {
            "peer": FilterChainMatch(source_prefix_ranges=(("10.0.0.9", 32),), source_ports=(4711,)),
            "any": FilterChainMatch(),
        }

        assert chosen(matches, PLAIN) == "peer"
        assert chosen(matches, PLAIN._replace(remote_host="10.0.0.8")) == "any"
        assert chosen(matches, PLAIN._replace(remote_port=1)) is None


def test_the_same_match_twice_is_refused() -> None:
    with pytest.raises(DuplicateMatchError, match="same matching rules"):
        chosen(
            {"a": FilterChainMatch(server_names=("x",)), "b": FilterChainMatch(server_names=("x", "y"))},
            PLAIN,
        )


def test_a_single_chain_without_conditions_takes_everything() -> None:
    assert chosen({"all": FilterChainMatch()}, tls("any.test", "h2")) == "all"
