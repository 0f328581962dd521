"""`evidence`, the embedded agent: looks at candidates without any language model (see `policy`)."""

from vretrver.policies.evidence.policy import EvidencePolicy

__all__ = ["EvidencePolicy"]
