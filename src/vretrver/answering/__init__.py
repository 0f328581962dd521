"""Retrieval-augmented answering: a question in, a short answer out, with the sources and the boxes it rests on.

    answer = Answerer(Pipeline(Retriever.open("photos.vr"), reranker), policy).ask("Which bus goes to the airport?")

`prompt` writes the sources, `citations` reads and checks what the model wrote, `writer` is the road between them, and
`answerer` searches first.
Sources are data: nothing that stands in them, and nothing that the model writes, is ever run or evaluated. There is one
generation and no tool: a detail that cannot be read at the size at which sources are shown is not answered.
"""

from vretrver.answering.answer import Answer, Citation
from vretrver.answering.answerer import Answerer, for_ranking
from vretrver.answering.writer import SOURCES, Writer, names_a_writer

__all__ = ["SOURCES", "Answer", "Answerer", "Citation", "Writer", "for_ranking", "names_a_writer"]
