"""The wire protocol: a window to messages, and model text to a tool call or a permutation. Nowhere else.

The shape is the released checkpoints'. The system prompt and the guidelines are **our restatement** in that
shape, not the released strings; every trace carries the prompt's hash so that results name what was said.
Boxes are the sibling module `boxes`; what a call does is `tools`; what happens between turns is `episode`.

`window` writes, `generation` reads, `plain` makes texts safe. Both directions handle untrusted text. Texts of queries
and candidates are bounded and cannot pose as protocol tags; model text is bounded, searched with linear scans and read
with `json`, never evaluated.
"""

from vretrver.protocol.generation import (
    MAX_CALL,
    MAX_MODEL_TEXT,
    Parsed,
    answer_in,
    complete,
    is_empty,
    parse,
    permutation,
    render_answer,
    render_tool_call,
    without_think,
)
from vretrver.protocol.plain import CUT, plain
from vretrver.protocol.window import (
    Wire,
    candidate_pictures,
    number_pictures,
    prompt_hash,
    render_window,
    system_prompt,
)

__all__ = [
    "CUT",
    "MAX_CALL",
    "MAX_MODEL_TEXT",
    "Parsed",
    "Wire",
    "answer_in",
    "candidate_pictures",
    "complete",
    "is_empty",
    "number_pictures",
    "parse",
    "permutation",
    "plain",
    "prompt_hash",
    "render_answer",
    "render_tool_call",
    "render_window",
    "system_prompt",
    "without_think",
]
