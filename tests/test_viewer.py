from __future__ import annotations

import base64
import html as markup
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conftest import Paint
from vretrver.errors import InvalidInput, MissingPath, RecordError, StorageError
from vretrver.messages import ImagePart, Observation, Part, TextPart, ToolCall, View
from vretrver.trace import Evidence, Ranking, Result, StopReason, Trace, Turn
from vretrver.types import Box, Candidate, Document, ImageRef, Query
from vretrver.usage import Tokens, Usage
from vretrver.viewer import append_trace, pictures_of, read_traces, render, write_traces
from vretrver.viewer.page import content_policy, page
from vretrver.viewer.trace_file import records_of

HOSTILE = '</script><img src=x onerror=alert(1)><!-- \u2028\u2029 {{data}} <script>alert(2)</script> ]]> \udcff "'


def looked(paths: list[str], box: Box = (10, 20, 30, 40), text: str = "a red kite") -> Ranking:
    """Two or more candidates; the agent crops the second one's picture and puts it first."""
    documents = [Document(f"id-{i}", f"Picture {i}. {text}", ImageRef(path=path)) for i, path in enumerate(paths)]
    candidates = [Candidate(document, 1 - i / 100, i + 1, {"vector": 0.5}) for i, document in enumerate(documents)]
    order = (1, 0, *range(2, len(paths)))
    image = documents[1].image
    assert image is not None
    seen = Observation((TextPart("Here is the cropped image."), ImagePart(View(image, 40, 60, box), 2)))
    call = ToolCall("crop_image", {"target_image": 2, "bbox_2d": list(box)})
    turns = (
        Turn(f"<think>{text}</think><tool_call>{{}}</tool_call>", call, seen, 0.25),
        Turn(f"<think>It is.</think><answer>{[i + 1 for i in order]}</answer>", seconds=0.5, tokens=Tokens(5, 2)),
    )
    evidence = {"id-1": (Evidence(image.label, box, "crop_image", f"seen: {text}"),)}
    pictures = [ImagePart(View(d.image, 9, 9), i) for i, d in enumerate(documents, 1) if d.image]
    prompt: tuple[Part, ...] = (TextPart("Query: "), *pictures)
    ids = tuple(document.id for document in documents)
    trace = Trace(
        0, ids, order, turns, StopReason.ANSWERED, ("mended",), evidence, None, "made", "0" * 64, None, prompt
    )
    results = tuple(
        Result(rank, candidates[i], 1 / rank, 0.5, evidence.get(ids[i], ())) for rank, i in enumerate(order, 1)
    )
    return Ranking(Query(text), results, False, Usage(policy_calls=2, tool_calls=1, images=3, seconds=0.8), (trace,))


def embedded(path: Path) -> Any:
    """The data block of a page, as a browser would find it: up to the first `</script`."""
    block = re.search(r'<script type="application/json" id="traces">(.*?)</script', path.read_text("utf-8"), re.S)
    assert block is not None
    return json.loads(block[1])


def decoded(url: str) -> Image.Image:
    head, _, data = url.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_rankings_survive_a_trace_file(tmp_path: Path, paint: Paint) -> None:
    rankings = [looked([paint("a.png"), paint("b.png")]), looked([paint("c.png"), paint("d.png")], text="another")]
    file = tmp_path / "run.jsonl"
    assert write_traces(file, rankings[:1]) == 1
    append_trace(file, rankings[1])
    assert read_traces(file) == rankings
    assert list(tmp_path.glob("*.part")) == []


def test_some_lines_of_a_trace_file_are_read_and_the_others_passed_over(tmp_path: Path, paint: Paint) -> None:
    write_traces(tmp_path / "run.jsonl", [looked([paint("a.png"), paint("b.png")], text=word) for word in "abc"])
    lines = (tmp_path / "run.jsonl").read_text().splitlines()
    (tmp_path / "run.jsonl").write_text("\n".join([lines[0], "no trace", "", lines[2]]) + "\n")
    assert [ranking.query.text for _record, ranking in records_of(tmp_path / "run.jsonl", {1, 4})] == ["a", "c"]
    assert list(records_of(tmp_path / "run.jsonl", {3, 9})) == []
    with pytest.raises(RecordError, match="line 2"):
        list(records_of(tmp_path / "run.jsonl", {2}))


def test_a_page_holds_the_very_records_of_the_file(tmp_path: Path, paint: Paint) -> None:
    write_traces(tmp_path / "run.jsonl", [looked([paint("a.png"), paint("b.png")], text=HOSTILE)])
    render(tmp_path / "run.jsonl", tmp_path / "run.html")
    line = json.loads((tmp_path / "run.jsonl").read_text())
    del line["originals"]
    data = embedded(tmp_path / "run.html")
    assert data == {"title": "run.jsonl", "records": [line]}
    assert Ranking.from_record(data["records"][0]) == read_traces(tmp_path / "run.jsonl")[0]


@settings(max_examples=60, deadline=None)
@given(st.text() | st.just(HOSTILE))
def test_no_text_breaks_out_of_its_block(text: str) -> None:
    html = page([{"query": {"text": text}}], text)
    plain = page([], "")
    assert html.count("<script") == plain.count("<script") == 2
    assert html.count("<img") == plain.count("<img")
    block = html.split('id="traces">', 1)[1].split("</script", 1)[0]
    assert json.loads(block)["records"][0]["query"]["text"] == text
    assert block.isascii()
    assert not set(block) & set("<>&")


def test_the_policy_allows_this_script_and_style_alone() -> None:
    html = page(None, "t")
    policy = markup.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1])  # type: ignore[index]
    style = re.search(r"<style>(.*?)</style>", html, re.S)[1]  # type: ignore[index]
    script = re.search(r"<script>(.*?)</script>", html, re.S)[1]  # type: ignore[index]
    assert policy == content_policy(style, script)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|\bfetch\(", script)
    assert not re.search(r"<[^>]+\son\w+=|<[^>]+\sstyle=", html.split("<body>")[1].split("<script")[0])


def test_pictures_are_small_and_each_once(paint: Paint) -> None:
    paths = [paint("a.png", size=(1200, 900)), paint("b.png", size=(2000, 400))]
    pictures = pictures_of(looked(paths, box=(100, 50, 1900, 350)))
    assert set(pictures) == set(paths)
    assert (pictures[paths[1]]["width"], pictures[paths[1]]["height"]) == (2000, 400)
    assert decoded(pictures[paths[0]]["whole"]).size == (320, 240)  # a candidate
    assert decoded(pictures[paths[1]]["whole"]).size == (512, 102)  # it was looked at
    assert list(pictures[paths[1]]["crops"]) == ["100,50,1900,350"]
    assert decoded(pictures[paths[1]]["crops"]["100,50,1900,350"]).size == (512, 85)


def test_a_crop_shows_what_lies_in_its_box(tmp_path: Path) -> None:
    picture = Image.new("RGB", (80, 60), "white")
    picture.paste((200, 0, 0), (10, 20, 30, 40))
    paths = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    for path in paths:
        picture.save(path)
    crop = decoded(pictures_of(looked(paths))[paths[1]]["crops"]["10,20,30,40"])
    assert crop.size == (20, 20)
    low, high = zip(*crop.getextrema(), strict=True)
    assert low[0] > 180
    assert high[1] < 40


def test_missing_and_broken_originals_give_no_entry(tmp_path: Path, paint: Paint) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    ranking = looked([paint("a.png"), str(tmp_path / "gone.png"), str(tmp_path / "broken.jpg")])
    assert list(pictures_of(ranking)) == [str(tmp_path / "a.png")]
    write_traces(tmp_path / "run.jsonl", [ranking])
    render(tmp_path / "run.jsonl", tmp_path / "run.html")
    assert read_traces(tmp_path / "run.jsonl") == [ranking]


def test_a_box_that_left_its_picture_gives_no_crop(paint: Paint) -> None:
    path = paint("b.png", size=(20, 20))
    pictures = pictures_of(looked([paint("a.png"), path], box=(10, 10, 30, 40)))
    assert pictures[path]["crops"] == {}


def test_pictures_stop_at_the_cap_and_the_shown_ones_come_first(paint: Paint) -> None:
    paths = [paint(f"{i}.png", size=(400, 300)) for i in range(9)]
    ranking = looked(paths)
    one = len(json.dumps(pictures_of(ranking)[paths[1]]))
    some = pictures_of(ranking, max_bytes=3 * one)
    assert next(iter(some)) == paths[1]
    assert 1 < len(some) < 9
    assert sum(len(entry["whole"]) for entry in some.values()) <= 3 * one


def test_bytes_of_a_query_are_kept_once_and_stay_out_of_the_page(tmp_path: Path, paint: Paint) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((200, 200), 90).save(buffer, "PNG")
    ref = ImageRef(data=buffer.getvalue())
    ranking = looked([paint("a.png"), paint("b.png")])
    trace = replace(ranking.traces[0], prompt=(ImagePart(View(ref, 5, 5), 0), *ranking.traces[0].prompt))
    ranking = replace(ranking, query=Query("t", (ref,)), traces=(trace,))
    write_traces(tmp_path / "run.jsonl", [ranking])
    assert read_traces(tmp_path / "run.jsonl") == [ranking]
    original = base64.b64encode(buffer.getvalue()).decode()
    assert (tmp_path / "run.jsonl").read_text().count(original) == 1
    render(tmp_path / "run.jsonl", tmp_path / "run.html")
    assert original not in (tmp_path / "run.html").read_text("utf-8")
    assert ref.label in embedded(tmp_path / "run.html")["records"][0]["pictures"]


def test_a_file_name_that_is_not_utf8_survives(tmp_path: Path, paint: Paint) -> None:
    ranking = looked([paint("a.png"), "nowhere/\udcff.png"])
    write_traces(tmp_path / "run.jsonl", [ranking])
    render(tmp_path / "run.jsonl", tmp_path / "run.html")
    assert read_traces(tmp_path / "run.jsonl") == [ranking]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"{", "not JSON"),
        (b"[1]", "JSON object"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"version": 99}', "version 99"),
        (b'{"version": 2}', "does not parse"),
        (b'{"version": 2, "query": NaN}', "NaN"),
        (b'{"version": 2, "query": {}, "results": {}, "traces": 3, "originals": {"a": 1}}', "does not parse"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, paint: Paint, line: bytes, complaint: str) -> None:
    file = tmp_path / "run.jsonl"
    write_traces(file, [looked([paint("a.png"), paint("b.png")])])
    with file.open("ab") as more:
        more.write(b"\n" + line + b"\n")
    with pytest.raises(RecordError, match=f"line 3.*{complaint}"):
        read_traces(file)


def test_pictures_that_are_not_jpeg_data_are_left_out_of_a_page(tmp_path: Path, paint: Paint) -> None:
    path = paint("a.png")
    write_traces(tmp_path / "run.jsonl", [looked([path, paint("b.png")])])
    line = json.loads((tmp_path / "run.jsonl").read_text())
    line["pictures"][path]["whole"] = "https://example.org/spy.png"
    line["pictures"][str(tmp_path / "b.png")]["crops"]["1,1,2,2"] = "data:image/svg+xml,<svg/>"
    line["pictures"]["more"] = 5
    (tmp_path / "run.jsonl").write_text(json.dumps(line))
    render(tmp_path / "run.jsonl", tmp_path / "run.html")
    pictures = embedded(tmp_path / "run.html")["records"][0]["pictures"]
    assert list(pictures) == [str(tmp_path / "b.png")]
    assert list(pictures[str(tmp_path / "b.png")]["crops"]) == ["10,20,30,40"]


def test_faults_of_the_disk_are_one_line_errors(tmp_path: Path, paint: Paint) -> None:
    ranking = looked([paint("a.png"), paint("b.png")])
    with pytest.raises(MissingPath, match="no such trace file"):
        read_traces(tmp_path / "none.jsonl")
    with pytest.raises(RecordError, match="cannot read"):
        read_traces(tmp_path)
    with pytest.raises(StorageError, match="cannot write"):
        write_traces(tmp_path / "no" / "folder.jsonl", [ranking])
    with pytest.raises(StorageError, match="cannot write"):
        append_trace(tmp_path, ranking)
    write_traces(tmp_path / "run.jsonl", [ranking])
    with pytest.raises(StorageError, match="cannot write"):
        render(tmp_path / "run.jsonl", tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, paint: Paint) -> None:
    ranking = looked([paint("a.png"), paint("b.png")])
    write_traces(tmp_path / "run.jsonl", [ranking])
    with pytest.raises(InvalidInput, match="JSON"):
        write_traces(tmp_path / "run.jsonl", [replace(ranking, usage=Usage(seconds=float("nan")))])
    assert read_traces(tmp_path / "run.jsonl") == [ranking]
    assert list(tmp_path.glob("*.part")) == []


def test_the_empty_page_holds_no_trace(tmp_path: Path) -> None:
    render(None, tmp_path / "view.html")
    assert embedded(tmp_path / "view.html") == {"title": "vretrver", "records": None}
