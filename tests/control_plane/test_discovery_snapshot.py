"""Versions are hashes of content, and references that lead nowhere are told."""

from __future__ import annotations

from minimesh.control_plane.discovery.snapshot import Contents, Snapshot
from minimesh.xds import messages as m

from .xds_resources import Resources, assignment, cluster, one_route, route_configuration


def test_equal_content_has_equal_versions_whatever_the_order() -> None:
    clusters = {name: cluster(name) for name in ("a", "b")}
    one = Snapshot.build(Resources(clusters=clusters))
    other = Snapshot.build(Resources(clusters=dict(reversed(clusters.items()))))
    assert one.clusters.version == other.clusters.version


def test_contents_made_from_older_ones_are_what_they_would_be_from_nothing() -> None:
    before = Contents.pack({name: assignment(name, 1) for name in ("a", "b", "c")})
    changed = Contents.pack({"b": assignment("b", 2)})
    after = before.updated(changed.resources)
    whole = Contents.pack({"a": assignment("a", 1), "b": assignment("b", 2), "c": assignment("c", 1)})
    assert (after.version, [*after.resources]) == (whole.version, [*whole.resources])
    assert after.differences(before) == whole.differences(before) == {"b"}
    back = after.updated({"b": before.resources["b"]})
    assert back.version == before.version
    assert back.differences(before) == frozenset()
    assert back.differences(after) == {"b"}


def test_only_the_type_that_changed_changes_its_version() -> None:
    before = Snapshot.build(one_route("a", upstream_port=1))
    after = Snapshot.build(one_route("a", upstream_port=2))
    assert before.endpoints.version != after.endpoints.version
    assert before.clusters.version == after.clusters.version
    assert before.routes.version == after.routes.version


def test_a_consistent_configuration_has_nothing_to_tell() -> None:
    snapshot = Snapshot.build(one_route("a"))
    assert snapshot.inconsistencies == ()
    assert snapshot.cluster_references == {"a"}
    assert snapshot.route_references == {"http.8080"}


def test_a_route_to_an_absent_cluster_is_told() -> None:
    resources = one_route("a")
    resources.routes["http.8080"] = route_configuration("http.8080", "gone")
    told = Snapshot.build(resources).inconsistencies
    assert told == ("traffic is sent to an absent cluster: gone",)


def test_weighted_clusters_mirrors_and_tcp_proxies_refer_to_clusters_too() -> None:
    configuration = m.route_pb2.RouteConfiguration(name="r")
    action = configuration.virtual_hosts.add(name="v", domains=["*"]).routes.add().route
    action.weighted_clusters.clusters.add(name="w1")
    action.request_mirror_policies.add(cluster="shadow")
    tcp = m.listener_pb2.Listener(name="tcp")
    tcp.default_filter_chain.filters.add(name="tcp").typed_config.Pack(
        m.tcp_proxy_pb2.TcpProxy(stat_prefix="t", cluster="straight")
    )
    snapshot = Snapshot.build(Resources(listeners={"tcp": tcp}, routes={"r": configuration}))
    assert snapshot.cluster_references == {"w1", "shadow", "straight"}


def test_an_absent_route_configuration_is_told() -> None:
    resources = one_route("a")
    resources.routes.clear()
    told = Snapshot.build(resources).inconsistencies
    assert told == ("a listener refers to an absent route configuration: http.8080",)


def test_a_missing_load_assignment_is_told_and_completed_with_an_empty_one() -> None:
    resources = one_route("a")
    resources.endpoints.clear()
    snapshot = Snapshot.build(resources)
    assert snapshot.inconsistencies == ("no load assignment for cluster: a",)
    completed = m.endpoint_pb2.ClusterLoadAssignment()
    snapshot.endpoints.resources["a"].any.Unpack(completed)
    assert completed == m.endpoint_pb2.ClusterLoadAssignment(cluster_name="a")
    assert completed != assignment("a", 1)
