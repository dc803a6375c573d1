"""The railway stations that ship: services/directory/build_stations.py."""

from __future__ import annotations

from typing import Any

from services.directory.build_stations import written


def station(code: str, lat: float, lon: float, country: str = "england") -> dict[str, Any]:
    return {"stationName": f"Of {code}", "lat": lat, "long": lon, "crsCode": code, "constituentCountry": country}


def test_stations_of_great_britain_are_written_by_code_in_metres() -> None:
    given = [
        station("CBG", 52.194092, 0.137704),
        station("ABD", 57.142649, -2.097635, "scotland"),
        station("BFC", 54.59471, -5.91745, "northernIreland"),
        station("XXX", 0.0, 0.0),
    ]
    text = written(given, "1.2.3")
    assert text.startswith("# uk-railway-stations-1.2.3\n")
    assert "Open Database License" in text
    rows = [line for line in text.splitlines() if not line.startswith("#")]
    assert [row.split(",")[0] for row in rows] == ["id", "ABD", "CBG"]
    assert rows[2] == "CBG,Of CBG,railway,british-transport,546212,257248"
    assert written(list(reversed(given)), "1.2.3") == text
