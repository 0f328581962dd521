"""Options behind a policy's name: read as what they must be, unknown ones named with the nearest."""

from __future__ import annotations

from pathlib import Path

import pytest

from vretrver.errors import InvalidInput
from vretrver.policies import load_policy
from vretrver.policies.chat import ChatPolicy, Limits
from vretrver.policies.options import split_options

KINDS = {"stop": bool, "retries": int, "deadline": float, "cache": str}


def test_what_stands_behind_the_name() -> None:
    name, options = split_options("http://h/v1#org/model-7B,stop=no,retries=2,deadline=1e1,cache=a b/c", KINDS)
    assert name == "http://h/v1#org/model-7B"
    assert options == {"stop": False, "retries": 2, "deadline": 10.0, "cache": "a b/c"}
    assert split_options("a,b", KINDS) == ("a,b", {}) and split_options("a,retries=none", KINDS, ["retries"])[1] == {
        "retries": None
    }


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("m,retry=2", "unknown option 'retry' in the policy 'm'; did you mean retries?"),
        ("m,zzz=2", "choose from stop, retries, deadline, cache"),
        ("m,retries=2,retries=3", "the option retries comes twice"),
        ("m,retries=none", "retries='none' is no whole number"),
        ("m,retries=two", "retries='two' is no whole number"),
        ("m,stop=maybe", "stop='maybe' is neither true nor false"),
    ],
)
def test_what_is_no_option_says_so(name: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says.replace("?", r"\?")):
        split_options(name, KINDS)


def test_a_chat_policy_takes_them(tmp_path: Path) -> None:
    url = "chat:http://localhost:8000/v1#org/model"
    policy = load_policy(f"{url},tools=native,image_ids=yes,max_tokens=none,retries=2,cache={tmp_path / 'answers'}")
    assert isinstance(policy, ChatPolicy) and policy.name == url
    assert policy.image_ids and policy.limits == Limits(retries=2) and (tmp_path / "answers").is_dir()
    same = ChatPolicy("http://localhost:8000/v1", "org/model", tools="native", max_tokens=None)
    assert policy.fingerprint == same.fingerprint
    assert ChatPolicy.load(f"{url},deadline=9", limits=Limits(retries=1)).limits == Limits(deadline=9, retries=1)
    with pytest.raises(InvalidInput, match=r"the option stop stands in the name .* and beside it"):
        ChatPolicy.load(f"{url},stop=no", stop=True)
    with pytest.raises(InvalidInput, match="tools is 'odd'"):
        load_policy(f"{url},tools=odd")
