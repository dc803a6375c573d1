"""Overlays brought in: services/directory/overlays.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import shapely

from libs.alliance.generations import read_overlay
from libs.events.envelope import MAX_EVENT_BYTES
from libs.places import Atlas
from services.directory.alliance_file import Unusable
from services.directory.boundaries import GenerationChanged
from services.directory.overlays import MAX_NAME, Feature, Layer, plan, read_file, shipped

ATLAS = Atlas.build("g", 10.0, {"north": shapely.box(0, 1_000, 1_000, 2_000), "south": shapely.box(0, 0, 1_000, 1_000)})


def layer(*features: Feature, generation: str = "1") -> Layer:
    return Layer("stations", "Stations", "railway", generation, "made up", 100.0, features)


A = Feature("a", "A", "british-transport", shapely.points(500, 500))
B = Feature("b", "B", None, shapely.points(500, 1_500))
NOWHERE = Feature("c", "C", None, shapely.points(9_000, 9_000))


def test_who_names_no_force_suggests_whose_place_it_is_and_nobodys_place_is_left_out() -> None:
    chunks, activation = plan(layer(B, NOWHERE, A), ATLAS, stored=(), in_force=None)
    assert activation is not None
    assert [(one.id, one.force) for one in activation.features] == [("a", "british-transport"), ("b", "north")]
    overlay = read_overlay(activation, {chunk.sha256: chunk.content for chunk in chunks})
    near = overlay.near(500, 1_560)
    assert near is not None
    assert activation.features[near.feature].id == "b"


def test_a_generation_never_changes_and_is_said_once() -> None:
    _, activation = plan(layer(A, B), ATLAS, stored=(), in_force=None)
    assert plan(layer(A, B), ATLAS, stored=(), in_force=activation) == ([], None)
    moved = Feature("a", "A", None, shapely.points(501, 500))
    with pytest.raises(GenerationChanged):
        plan(layer(moved, B), ATLAS, stored=(), in_force=activation)
    assert plan(layer(moved, B, generation="2"), ATLAS, stored=(), in_force=activation)[1] is not None


def test_the_shipped_airfields_suggest_their_own_force_or_the_ministry_s() -> None:
    airports, military, _ = shipped()
    assert "airportsdata" in airports.source
    assert {feature.force for feature in airports.features} == {None}
    assert {feature.force for feature in military.features} == {"ministry-of-defence"}
    assert {"London Luton Airport", "East Midlands Airport"} <= {feature.name for feature in airports.features}


def test_the_shipped_stations_suggest_british_transport_police() -> None:
    *_, stations = shipped()
    assert "Open Database License" in stations.source
    assert {feature.force for feature in stations.features} == {"british-transport"}
    places = {feature.id: feature.place for feature in stations.features}
    assert len(places) == len(stations.features) > 2_500
    assert shapely.distance(places["CBG"], shapely.points(546_200, 257_200)) < 300
    assert max(len(feature.name) for feature in stations.features) <= MAX_NAME
    chunks, activation = plan(stations, ATLAS, stored=(), in_force=None)
    assert activation is not None
    assert len(activation.features) == len(stations.features)
    assert len(msgspec.json.encode(activation)) < MAX_EVENT_BYTES
    assert chunks


def written(path: Path, **changed: Any) -> Path:
    feature = {
        "type": "Feature",
        "properties": {"id": "x", "name": "X"},
        "geometry": {"type": "Point", "coordinates": [-0.48, 52.13]},
    } | changed
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    return path


def test_points_lines_and_areas_are_read_in_metres(tmp_path: Path) -> None:
    file = tmp_path / "a.geojson"
    [feature] = read_file(written(file), "id", "name", None)
    assert 500_000 < feature.place.x < 510_000
    line = {"type": "LineString", "coordinates": [[-0.48, 52.13], [-0.47, 52.14]]}
    [feature] = read_file(written(file, geometry=line), "id", "name", "british-transport")
    assert feature.place.length > 1_000


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"properties": {"name": "X"}}, "the property id must be a text"),
        ({"properties": {"id": "x", "name": "X" * 61}}, "the property name must be a text"),
        ({"geometry": None}, "geometry"),
        ({"geometry": {"type": "Point", "coordinates": []}}, "geometry"),
        ({"geometry": {"type": "Point", "coordinates": [-74.0, 40.7]}}, "Great Britain"),
        ({"geometry": {"type": "GeometryCollection", "geometries": []}}, "geometry"),
    ],
)
def test_what_is_no_place_is_refused_with_where_it_stands(tmp_path: Path, changed: dict[str, Any], why: str) -> None:
    with pytest.raises(Unusable, match=why):
        read_file(written(tmp_path / "a.geojson", **changed), "id", "name", None)
