"""A dump as a bootstrap that needs no control plane: what is put together, and what cannot be taken along."""

from __future__ import annotations

from typing import Any

import pytest

from minimesh.platform.static_bootstrap import DumpError, static_bootstrap

BOOTSTRAP = {
    "@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump",
    "bootstrap": {
        "node": {"id": "n"},
        "admin": {"address": {}},
        "bootstrap_extensions": [{"name": "envoy.bootstrap.internal_listener"}],
        "dynamic_resources": {"ads_config": {}},
    },
}


def by_ads(name: str) -> dict[str, Any]:
    return {"name": name, "sds_config": {"ads": {}, "resource_api_version": "V3"}}


def chain(*names: str, secret: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"filter_chain_match": {"server_names": list(names)}, "filters": []}
    if secret:
        certificates = {"tls_certificate_sds_secret_configs": [by_ads(secret)]}
        made["transport_socket"] = {"typed_config": {"common_tls_context": certificates}}
    return made


def dump(*, clusters: Any = (), listeners: Any = ()) -> dict[str, Any]:
    return {
        "configs": [
            BOOTSTRAP,
            {
                "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
                "dynamic_active_clusters": [{"cluster": each} for each in clusters],
            },
            {
                "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
                "dynamic_listeners": [{"active_state": {"listener": each}} for each in listeners],
            },
        ]
    }


def test_what_the_proxy_itself_needs_is_kept_and_its_control_plane_is_not() -> None:
    made = static_bootstrap(dump()).bootstrap
    assert made["node"] == {"id": "n"}
    assert made["bootstrap_extensions"] == [{"name": "envoy.bootstrap.internal_listener"}]
    assert "dynamic_resources" not in made


def test_chains_whose_certificates_came_by_ads_are_left_out_and_named() -> None:
    listener = {
        "name": "0.0.0.0_8443",
        "filter_chains": [chain("a.com", secret="kubernetes://a"), chain("b.com")],
    }
    made = static_bootstrap(dump(listeners=[listener]))
    assert made.bootstrap["static_resources"]["listeners"] == [
        {"name": "0.0.0.0_8443", "filter_chains": [chain("b.com")]}
    ]
    assert made.left_out == (
        "listener 0.0.0.0_8443 for a.com needs kubernetes://a, and no dump holds secrets",
    )


def test_a_listener_of_which_nothing_is_left_goes() -> None:
    listener = {"name": "0.0.0.0_8443", "filter_chains": [chain(secret="kubernetes://a")]}
    made = static_bootstrap(dump(listeners=[listener]))
    assert made.bootstrap["static_resources"]["listeners"] == []
    assert made.left_out[0].startswith("listener 0.0.0.0_8443 for any name needs kubernetes://a")


def test_clusters_that_need_a_secret_are_left_out() -> None:
    validation = {"combined_validation_context": {"validation_context_sds_secret_config": by_ads("ca")}}
    tls = {"typed_config": {"common_tls_context": validation}}
    made = static_bootstrap(dump(clusters=[{"name": "plain"}, {"name": "tls", "transport_socket": tls}]))
    assert made.bootstrap["static_resources"]["clusters"] == [{"name": "plain"}]
    assert made.left_out == ("cluster tls needs ca, and no dump holds secrets",)


def test_certificates_in_files_stay() -> None:
    by_file = chain("a.com")
    by_file["transport_socket"] = {"sds_config": {"path_config_source": {"path": "/a.yaml"}}}
    made = static_bootstrap(dump(listeners=[{"name": "l", "filter_chains": [by_file]}]))
    assert made.left_out == ()
    assert made.bootstrap["static_resources"]["listeners"][0]["filter_chains"] == [by_file]


def test_a_route_configuration_that_is_not_there_is_named() -> None:
    manager = {"@type": "type.googleapis.com/x.HttpConnectionManager", "rds": {"route_config_name": "80"}}
    broken = {"name": "l", "filter_chains": [{"filters": [{"typed_config": manager}]}]}
    with pytest.raises(DumpError, match="the route configuration '80'"):
        static_bootstrap(dump(listeners=[broken]))
