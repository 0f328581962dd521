"""Viewer: trace files with thumbnails, and the one page that shows them.

    write_traces, append_trace   rankings to JSON Lines, a thumbnail beside every picture that was shown
    read_traces                  and back
    render                       a trace file to one self-contained page; None gives the page that opens files itself

Reads only what `vretrver.trace` recorded. Nothing here ranks, retrieves or calls a model.
"""

from vretrver.viewer.page import render
from vretrver.viewer.pictures import pictures_of
from vretrver.viewer.trace_file import append_trace, read_traces, write_traces

__all__ = ["append_trace", "pictures_of", "read_traces", "render", "write_traces"]
