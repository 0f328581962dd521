from __future__ import annotations

import json
from typing import Any

from vretrver.server.fields import FIELDS, VALUES, fields_of


def told(*records: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {field["name"]: field for field in fields_of(json.dumps(record) for record in records)}


def test_values_are_counted_the_commonest_first() -> None:
    fields = told({"shop": "ica", "year": 2020}, {"shop": "coop"}, {"shop": "ica", "new": True}, {})
    assert list(fields) == ["shop", "year", "new"]
    assert fields["shop"]["values"] == [{"value": "ica", "documents": 2}, {"value": "coop", "documents": 1}]
    assert (fields["shop"]["kind"], fields["shop"]["documents"], fields["shop"]["more"]) == ("text", 3, False)
    assert (fields["year"]["kind"], fields["year"]["least"], fields["year"]["most"]) == ("number", 2020, 2020)
    assert (fields["new"]["kind"], fields["new"]["values"]) == ("choice", [{"value": True, "documents": 1}])


def test_one_is_not_true() -> None:
    values = told({"flag": 1}, {"flag": True}, {"flag": 1})["flag"]["values"]
    assert [(type(one["value"]), one["documents"]) for one in values] == [(int, 2), (bool, 1)]


def test_what_nobody_can_filter_by_is_left_out() -> None:
    assert told({"tags": ["a"], "nested": {"a": 1}, "none": None}) == {}
    assert fields_of(['{"odd": NaN, "even": Infinity}']) == []


def test_a_name_of_each_document_is_no_list_to_choose_from() -> None:
    names = told(*({"name": f"card {n}", "place": n} for n in range(100)))
    assert (names["name"]["values"], names["name"]["more"]) == ([], True)
    assert len(names["place"]["values"]) == VALUES and names["place"]["more"]
    assert len(told({f"field {n}": n for n in range(99)})) == FIELDS
