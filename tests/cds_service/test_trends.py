"""Results of one test over time, in the unit of the newest."""

from __future__ import annotations

from typing import Any

from cds_service import trends
from fhir_adapter import catalog
from fhir_adapter.normalize import normalize
from fhir_adapter.read import Limits, read
from tests.bundles import bundle, observation


def _trends(*results: dict[str, Any]) -> list[dict[str, Any]]:
    return trends.shown(normalize(read(bundle(*results), limits=Limits()), catalog.load()), "en")


def test_points_stand_in_order_of_time_whatever_the_order_sent() -> None:
    late = observation("b", "2160-0", 2.4, "mg/dL", 0.6, 1.2, effectiveDateTime="2024-03-03T08:00:00Z")
    early = observation("a", "2160-0", 1.0, "mg/dL", 0.6, 1.2, effectiveDateTime="2024-03-01T23:00:00-05:00")
    (found,) = _trends(late, early)
    assert (found["display"], found["unit"], found["left"]) == ("Creatinine", "mg/dL", 0)
    assert [point["number"] for point in found["points"]] == [1.0, 2.4]
    assert found["points"][0]["limits"] == {"low": 0.6, "high": 1.2}


def test_numbers_and_limits_come_in_the_newest_unit() -> None:
    old = observation("a", "2345-7", 5.0, "mmol/L", 3.9, 5.5, effectiveDateTime="2024-03-01T08:00:00Z")
    new = observation("b", "2345-7", 180, "mg/dL", 70, 99, effectiveDateTime="2024-03-02T08:00:00Z")
    (found,) = _trends(old, new)
    first = found["points"][0]
    assert found["unit"] == "mg/dL"
    assert abs(first["number"] - 90.08) < 0.05
    assert abs(first["limits"]["low"] - 70.26) < 0.05
    assert first["value"] == "5.0 mmol/L"


def test_what_does_not_convert_is_left_out_and_counted() -> None:
    odd = observation("a", "2345-7", 5.0, "widgets", 3.9, 5.5, effectiveDateTime="2024-03-01T08:00:00Z")
    one = observation("b", "2345-7", 90, "mg/dL", 70, 99, effectiveDateTime="2024-03-02T08:00:00Z")
    two = observation("c", "2345-7", 95, "mg/dL", 70, 99, effectiveDateTime="2024-03-03T08:00:00Z")
    (found,) = _trends(odd, one, two)
    assert [point["number"] for point in found["points"]] == [90, 95]
    assert found["left"] == 1


def test_one_result_or_results_without_a_time_make_no_trend() -> None:
    undated = observation("b", "2160-0", 2.4, "mg/dL")
    undated.pop("effectiveDateTime")
    assert _trends(observation("a", "2160-0", 1.0, "mg/dL"), undated, observation("c", "2823-3", 4.1, "mmol/L")) == []
