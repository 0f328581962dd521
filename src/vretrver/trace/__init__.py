"""What happened: turns, evidence, one window's trace, and the ranking that came of it. The hinge of the house.

Everything before this module produces it; everything after (rewards, evaluation, viewer, servers) only
reads it. What can be derived is a property; None means not known or not scored. `Ranking.to_record` and
`Ranking.from_record` are inverse and versioned; a record holds JSON values only, and no picture's bytes
(`vretrver.viewer` adds thumbnails to a trace file).
"""

from vretrver.trace.ranking import VERSION, Ranking, Result
from vretrver.trace.window import Evidence, StopReason, Trace, Turn

__all__ = ["VERSION", "Evidence", "Ranking", "Result", "StopReason", "Trace", "Turn"]
