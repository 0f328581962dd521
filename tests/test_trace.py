from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vretrver.errors import RecordError
from vretrver.messages import ImagePart, Observation, TextPart, ToolCall, View
from vretrver.trace import Evidence, Ranking, Result, StopReason, Trace, Turn
from vretrver.types import Candidate, Document, ImageRef, Query
from vretrver.usage import Tokens, Usage

text = st.text(max_size=12)
words = st.text(min_size=1, max_size=12).filter(lambda value: bool(value.strip())).map(str.strip)
score = st.floats(allow_nan=False, allow_infinity=False, width=32)
share = st.floats(0, 1)
box = st.none() | st.tuples(*[st.integers(0, 9999)] * 4)
image = st.builds(ImageRef, path=words) | st.builds(ImageRef, data=st.binary(max_size=8))
part = st.builds(TextPart, text) | st.builds(
    ImagePart, st.builds(View, image, st.integers(1, 999), st.integers(1, 999), box), st.integers(-2, 20)
)
parts = st.lists(part, max_size=3).map(tuple)
call = st.builds(ToolCall, words, st.dictionaries(text, st.integers() | st.lists(score, max_size=4), max_size=2))
count = st.integers(0, 9)
tokens = st.builds(Tokens, count, count, st.none() | count, st.none() | count)
turn = st.builds(
    Turn,
    text,
    st.none() | call,
    st.none() | st.builds(Observation, parts, st.booleans()),
    share,
    st.none() | tokens,
    st.booleans(),
)
evidence = st.builds(Evidence, text, box, words, text)
trace = st.builds(
    Trace,
    start=st.integers(0, 50),
    candidates=st.lists(words, max_size=3).map(tuple),
    order=st.permutations(range(3)).map(tuple),
    turns=st.lists(turn, max_size=3).map(tuple),
    stop=st.sampled_from(StopReason),
    repairs=st.lists(text, max_size=2).map(tuple),
    evidence=st.dictionaries(words, st.lists(evidence, max_size=2).map(tuple), max_size=2),
    relevance=st.none() | st.lists(share, max_size=3).map(tuple),
    policy=text,
    prompt_hash=text,
    error=st.none() | text,
    prompt=parts,
)
document = st.builds(
    Document, words, words, st.none() | image, st.none() | text, st.dictionaries(text, st.integers(), max_size=2)
)
candidate = st.builds(Candidate, document, score, st.integers(1, 50), st.dictionaries(text, score, max_size=2))
ranking = st.builds(
    Ranking,
    query=st.builds(Query, words, st.lists(image, max_size=2).map(tuple), st.none() | text),
    results=st.lists(
        st.builds(Result, st.integers(1, 9), candidate, score, share, st.lists(evidence, max_size=2).map(tuple)),
        max_size=3,
    ).map(tuple),
    no_match=st.booleans(),
    usage=st.builds(Usage, count, count, count, count, count, count, st.none() | tokens, st.none() | st.just(0.25)),
    traces=st.lists(trace, max_size=2).map(tuple),
)


@given(ranking)
def test_a_ranking_survives_its_record_and_json(value: Ranking) -> None:
    assert Ranking.from_record(json.loads(json.dumps(value.to_record()))) == value


def small_ranking() -> Ranking:
    look = Evidence("b.jpg", (0, 0, 5, 5), "crop_image", "reads 1.5 %")
    results = (
        Result(1, Candidate(Document("b", image=ImageRef(path="b.jpg")), 0.4, 2), 1.0, 0.75, (look,)),
        Result(2, Candidate(Document("a", "an old carton"), 0.5, 1), 0.5, 0.2),
    )
    return Ranking(Query("milk"), results, usage=Usage(policy_calls=2, tool_calls=1, images=3, seconds=0.123456))


def test_the_printed_object_has_the_promised_fields() -> None:
    printed = small_ranking().to_json()
    assert list(printed) == ["query", "results", "no_match", "usage", "repairs", "partial", "skipped", "agreement"]
    assert printed["results"][0] == {
        "rank": 1,
        "id": "b",
        "score": 1.0,
        "confidence": 0.75,
        "coarse_rank": 2,
        "path": "b.jpg",
        "text": None,
        "evidence": [{"image": "b.jpg", "box": [0, 0, 5, 5], "tool": "crop_image", "note": "reads 1.5 %"}],
    }
    assert printed["usage"] == {
        "windows": 0,
        "rounds": 0,
        "policy_calls": 2,
        "tool_calls": 1,
        "images": 3,
        "cache_hits": 0,
        "tokens": None,
        "money": None,
        "seconds": 0.1235,
    }


def test_the_printed_object_leaves_out_a_querys_bytes() -> None:
    ranking = Ranking(Query(None, (ImageRef(data=b"secret"),)), ())
    assert ranking.to_json()["query"]["images"] == [{"bytes": ImageRef(data=b"secret").label}]


@pytest.mark.parametrize("record", [{}, {"version": 99}, {"version": 1}, {"version": 2, "query": 3}, []])
def test_a_record_that_does_not_parse_says_so(record: dict[str, object]) -> None:
    with pytest.raises(RecordError, match="this trace"):
        Ranking.from_record(record)


def test_a_trace_counts_what_it_holds() -> None:
    seen = Observation((TextPart("here"), ImagePart(View(ImageRef(path="a.jpg"), 28, 28), 1)))
    trace = Trace(
        start=0,
        candidates=("a",),
        order=(0,),
        turns=(
            Turn("look", ToolCall("select_images"), seen, 0.5, Tokens(8, 2)),
            Turn("done", seconds=0.25, tokens=Tokens(), reused=True),
        ),
        stop=StopReason.ANSWERED,
        prompt=(ImagePart(View(ImageRef(path="a.jpg"), 28, 28), 1),),
    )
    assert trace.usage == Usage(
        windows=1, policy_calls=2, tool_calls=1, images=2, cache_hits=1, tokens=Tokens(8, 2), seconds=0.75
    )
