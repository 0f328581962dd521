"""The doctor on sound, odd, broken and absent servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raw_server import RawServer, response
from vretrver.boxes import BoxFamily
from vretrver.errors import InvalidInput
from vretrver.images import image_size, open_image
from vretrver.policies.chat import ChatPolicy, Limits, Report, doctor
from vretrver.policies.chat.questions import painted
from vretrver.testing import FakeEndpoint, Reading

QUICK = Limits(backoff=0.001, longest_wait=0.01, retries=1, read=5, deadline=5)


def examined(endpoint: FakeEndpoint | RawServer, **options: Any) -> Report:
    model = endpoint.model if isinstance(endpoint, FakeEndpoint) else "m"
    return doctor(ChatPolicy(endpoint.url, model, limits=QUICK, environment={}, **options))


def verdicts(report: Report) -> dict[str, str]:
    return {check.name: check.verdict for check in report.checks}


ALL = ("reachable", "model", "stop", "images", "protocol", "boxes", "ids", "latency")


@pytest.mark.parametrize("tools", ["text", "native"])
def test_a_sound_server_passes(tools: str) -> None:
    with FakeEndpoint() as endpoint:
        report = examined(endpoint, tools=tools)
    assert verdicts(report) == dict.fromkeys(ALL, "ok") and report.ok
    assert not any(check.advice for check in report.checks)
    assert report.to_record()["ok"] is True and len(str(report).splitlines()) == 9


@pytest.mark.parametrize(
    ("speaks", "reads", "verdict"),
    [
        ("0-1000", "0-1000", "ok"),
        ("qwen2.5-vl", "qwen2.5-vl", "ok"),
        ("qwen2.5-vl", "0-1000", "warning"),
        ("0-1000", "qwen2.5-vl", "warning"),
        ("released", "released", "warning"),  # such a model writes pixels as shown: the released tool misreads them
    ],
)
def test_it_tells_which_boxes_a_model_writes(speaks: BoxFamily, reads: BoxFamily, verdict: str) -> None:
    with FakeEndpoint(boxes=speaks) as endpoint:
        report = examined(endpoint, boxes=reads)
    check = report.checks[5]
    assert check.verdict == verdict, check
    if verdict == "warning":
        spoken = "qwen2.5-vl" if speaks == "released" else speaks
        assert check.advice.startswith(f"use {spoken}") and f"{spoken}, but the policy reads {reads}" in check.found


def test_fractions_are_read_by_every_family() -> None:
    def reply(reading: Reading) -> str | None:
        return "[0.65, 0.6, 0.85, 0.867]" if "bounding box" in reading.text else None

    with FakeEndpoint(reply=reply) as endpoint:
        assert "fractions" in examined(endpoint).checks[5].found


@pytest.mark.parametrize("said", ["1", "2", "I cannot see images.", "Both 1 and 2."])
def test_a_blind_model_is_found_out(said: str) -> None:
    with FakeEndpoint(reply=lambda _reading: said) as endpoint:
        report = examined(endpoint)
    found = verdicts(report)
    assert (found["images"], found["protocol"], found["boxes"]) == ("failed", "failed", "warning")
    assert not report.ok and "vision model" in report.checks[3].advice


def test_calls_and_boxes_that_are_wrong() -> None:
    call = '<tool_call>{"name": "crop_image", "arguments": {"bbox_2d": [1, 2], "target_image": 1}}</tool_call>'
    with FakeEndpoint(reply=lambda reading: call if "Candidates:" in reading.text else None) as endpoint:
        report = examined(endpoint)
    assert report.checks[4].verdict == "warning" and "a tool call that is refused" in report.checks[4].found
    assert report.checks[3].verdict == report.checks[5].verdict == "ok"
    with FakeEndpoint(reply=lambda _reading: "[10, 10, 20, 20]") as endpoint:
        assert "lies on the square in no family" in examined(endpoint).checks[5].found


def test_a_model_that_is_not_there() -> None:
    with FakeEndpoint(model="other") as endpoint:
        report = doctor(ChatPolicy(endpoint.url, "mine", limits=QUICK, environment={}))
    found = verdicts(report)
    assert found["model"] == "warning" and "mine is not listed; there is other" in report.checks[1].found
    assert found["stop"] == "failed" and "check the model's name" in report.checks[2].advice
    assert found["images"] == found["boxes"] == "skipped"


def test_a_server_that_takes_no_stop_text() -> None:
    def reply(reading: Reading) -> str | None:
        if reading.body.get("stop"):
            raise ValueError("no stop strings here")
        return None

    with FakeEndpoint(reply=reply) as endpoint:
        report = examined(endpoint)
        assert verdicts(report) == dict.fromkeys(ALL, "ok") | {"stop": "warning"}
        assert report.checks[2].advice == "add stop=false" and "no stop strings" in report.checks[2].found
        assert verdicts(examined(endpoint, stop=False)) == dict.fromkeys(ALL, "ok")


def test_a_model_that_has_nothing_to_say_is_asked_on() -> None:
    with FakeEndpoint(reply=lambda reading: "  " if "Say yes" in reading.text else None) as endpoint:
        assert verdicts(examined(endpoint)) == dict.fromkeys(ALL, "ok")


def test_no_server_no_exception() -> None:
    with FakeEndpoint() as endpoint:
        name = endpoint.policy
    report = doctor(name)
    assert verdicts(report) == {"reachable": "failed"} | dict.fromkeys(ALL[1:], "skipped")
    assert "check that the server runs" in report.checks[0].advice and not report.ok
    with pytest.raises(InvalidInput):
        doctor("chat:nowhere")


@pytest.mark.parametrize(
    ("server", "advice"),
    [
        (response(b"<html>", "200 OK", "Content-Type: text/html"), "usually in /v1"),
        (response(b"[]"), "usually in /v1"),
        (response(b"", "401 Unauthorized"), "VRETRVER_API_KEY"),
        (response(b"", "307 Temporary Redirect", "Location: /v2"), "the final URL"),
        (b"garbage", "check that the server runs"),
        (b"", "check that the server runs"),
    ],
)
def test_a_server_of_another_kind(server: bytes, advice: str) -> None:
    with RawServer(server) as running:
        report = examined(running)
    assert report.checks[0].verdict == "failed" and advice in report.checks[0].advice, report.checks[0]


@pytest.mark.parametrize("status", ["404 Not Found", "500 Internal Server Error"])
def test_a_server_without_a_list_of_models(status: str) -> None:
    with RawServer(response(b"{}", status)) as running:
        report = examined(running)
    assert f"HTTP {status[:3]}" in report.checks[1].found
    assert verdicts(report) | {"boxes": "", "images": "", "protocol": ""} == {
        "reachable": "ok", "model": "warning", "stop": "failed", "images": "", "protocol": "", "boxes": "",
        "ids": "skipped", "latency": "skipped",
    }  # fmt: skip
    with RawServer(response(b'{"data": 7}')) as running:
        assert "there is nothing" in examined(running).checks[1].found


def test_the_doctor_asks_the_server_and_not_the_cache(tmp_path: Path) -> None:
    with FakeEndpoint() as endpoint:
        examined(endpoint, cache=tmp_path)
        once = endpoint.counters.calls
        examined(endpoint, cache=tmp_path)
        assert endpoint.counters.calls == 2 * once > 0


def test_a_faulty_server_still_gets_its_report() -> None:
    with FakeEndpoint(mode="faulty", fault_share=0.9, hang=0.01, retry_after=0.001) as endpoint:
        assert [check.name for check in examined(endpoint).checks] == list(ALL)


def without_uuid(reading: Reading) -> None:
    """A server that refuses fields it does not know, as hosted ones do; pictures without them it reads."""
    if b'"uuid"' in json.dumps(reading.body).encode():
        raise ValueError("unknown field uuid")


def test_whether_a_server_keeps_pictures_by_their_identifiers() -> None:
    def ids(endpoint: FakeEndpoint, **options: Any) -> tuple[str, str, str]:
        with endpoint:
            check = next(check for check in examined(endpoint, **options) if check.name == "ids")
        return check.verdict, check.found, check.advice

    keeps = "keeps pictures by their identifiers"
    assert ids(FakeEndpoint()) == ("ok", f"{keeps}; image_ids=true would send each only once", "")
    assert ids(FakeEndpoint(), image_ids=True) == ("ok", keeps, "")
    forgets = "keeps no pictures by their identifiers"
    assert ids(FakeEndpoint(keeps_images=False)) == ("ok", forgets, "")
    assert ids(FakeEndpoint(keeps_images=False), image_ids=True) == ("warning", forgets, "leave image_ids off")
    verdict, found, advice = ids(FakeEndpoint(reply=without_uuid))
    assert (verdict, advice) == ("ok", "") and found.startswith("takes no identifiers with pictures: HTTP 500")


def test_a_server_that_passes_over_pictures_it_has_only_identifiers_of() -> None:
    def careless(reading: Reading) -> str | None:
        named = json.dumps(reading.body).count('"image_url": null')
        return "1" if named else None  # it sees neither picture

    with FakeEndpoint(reply=careless) as endpoint:
        off, on = (examined(endpoint, image_ids=given) for given in (False, True))
    said = "passes over pictures that it is only given the identifiers of"
    assert [(check.verdict, check.found) for check in off if check.name == "ids"] == [("ok", said)]
    assert not on.ok and verdicts(on)["ids"] == "skipped" and verdicts(on)["images"] == "failed"


def test_pictures_painted_by_hand_are_pictures() -> None:
    ref = painted((30, 20), (230, 10, 10), (5, 4, 9, 8), (0, 160, 0))
    assert image_size(ref) == (30, 20)
    picture = open_image(ref)
    assert picture.getpixel((4, 4)) == picture.getpixel((9, 7)) == (230, 10, 10)
    assert picture.getpixel((5, 4)) == picture.getpixel((8, 7)) == (0, 160, 0)
