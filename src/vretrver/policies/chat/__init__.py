"""The chat policy: any server that speaks OpenAI's chat completions with several images in a message.

`ChatPolicy` is the policy, `Limits` what it may cost in time and attempts, `doctor` asks a server what it can do.
urllib3 carries the requests. It leaves out streaming, server-side files and every other API of such servers.
"""

from vretrver.policies.chat.doctor import Report, doctor
from vretrver.policies.chat.policy import ChatPolicy
from vretrver.policies.chat.questions import Check
from vretrver.policies.chat.retrying import Clock, Limits
from vretrver.policies.chat.usage import ChatUsage

__all__ = ["ChatPolicy", "ChatUsage", "Check", "Clock", "Limits", "Report", "doctor"]
