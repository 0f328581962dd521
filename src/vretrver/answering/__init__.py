"""Retrieval-augmented answering: a question in, a short answer out, with the sources and the boxes it rests on.

    answer = Answerer(Pipeline(Retriever.open("photos.vr"), reranker), policy).ask("Which bus goes to the airport?")

`prompt` writes the sources, `citations` reads and checks what the model wrote, `answerer` is the road between them.
Sources are data: nothing that stands in them, and nothing that the model writes, is ever run or evaluated. There is one
generation and no tool: a detail that cannot be read at the size at which sources are shown is not answered.
"""

from vretrver.answering.answer import Answer, Citation
from vretrver.answering.answerer import SOURCES, Answerer, for_ranking

__all__ = ["SOURCES", "Answer", "Answerer", "Citation", "for_ranking"]
