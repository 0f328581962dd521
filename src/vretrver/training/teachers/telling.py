"""Puts a turn of the oracle into the words of a style; which words there are is `phrases`."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from vretrver.messages import ToolCall
from vretrver.training.teachers.phrases import Book
from vretrver.training.teachers.scene import Scene
from vretrver.world import Truth
from vretrver.world.icons import spoken
from vretrver.world.wording import with_article


class Teller:
    """Puts a turn of the oracle into the words of a style."""

    def __init__(self, scene: Scene, book: Book, dice: Random) -> None:
        self._scene, self._book, self._dice = scene, book, dice
        self._question = scene.question

    def turn(self, call: ToolCall | None, looked_at: Sequence[int | None]) -> str:
        """The thoughts of a turn: before the first look, after one, or before the ranking."""
        scene, book = self._scene, self._book
        if book.plain:
            return book.between.join(self._plain(call))
        said = self._opening() if scene.turn == 0 else []
        if call is None:
            said += [*self._findings(scene.seen), *self._rest()]
            said.append(self._say(book.open) if scene.match is None else self._say(book.concludes, n=_n(scene.match)))
        else:
            if scene.turn > 0:
                said += [*self._findings(scene.new), self._say(book.further)]
            plan = {"compare_crops": book.compare, "select_images": book.select}.get(call.name, book.crop)
            said.append(self._say(plan, names=_listed([_n(at) for at in looked_at])))
        return book.between.join(said)

    def _plain(self, call: ToolCall | None) -> list[str]:
        """The call's sentence alone; or what the query's print says, and a verdict on each candidate."""
        scene, book, asked = self._scene, self._book, self._question
        if call is not None:
            return [self._say({"compare_crops": book.compare, "select_images": book.select}.get(call.name, book.crop))]
        if not scene.known:
            return [self._say(book.open)]
        reads = asked.kind == "print"
        query = None in scene.seen and asked.query is not None and reads
        found = [self._say(book.query, value=asked.query.value)] if query and asked.query is not None else []
        for at in sorted(at for at in scene.seen if at is not None):
            value = asked.values[scene.ids[at]]
            right = value == asked.wanted
            named = reads and at in scene.truths
            words = (book.yes[0] if right else book.no[0]) if named else (book.bare_yes if right else book.bare_no)
            found.append(words.format(n=_n(at), value=value))
        return found

    def guess(self) -> str:
        """The thoughts of an answer without any look."""
        guess = self._say(self._book.guesses, n=_n(self._scene.order(of_truth=True)[0]))
        return self._book.between.join([*self._opening(), guess])

    def _opening(self) -> list[str]:
        scene, book, asked = self._scene, self._book, self._question
        thing = next(iter(scene.truths.values()), None)
        if asked.modality == "i->t":
            said = "; ".join(f"{_n(at)} {asked.said(asked.values[name])}" for at, name in enumerate(scene.ids))
            return [self._say(book.texts, said=said), self._say(book.hidden_query)]
        hidden = [] if thing is None else [self._say(book.hidden, all=_listed(self._all()), thing=_thing(thing))]
        if asked.modality == "i->i":
            return [self._say(book.same), *hidden]
        if scene.step:
            ways = {"way": "more", "sign": "plus"} if scene.step > 0 else {"way": "fewer", "sign": "minus"}
            return [self._say(book.steps, subject=spoken(str(asked.subject)), **ways), *hidden]
        return [self._say(book.asks, wanted=asked.said(asked.wanted)), *hidden]

    def _all(self) -> list[str]:
        return [_n(at) for at in range(len(self._scene.ids))]

    def _findings(self, seen: Sequence[int | None]) -> list[str]:
        """What was shown: the query's picture first, then a verdict on each candidate, as they stand."""
        scene, book, asked = self._scene, self._book, self._question
        found = []
        if None in seen and asked.query is not None and scene.needs_query:
            found.append(self._say(book.query, value=asked.said(asked.query.value)))
            if scene.step:
                way = "more" if scene.step > 0 else "fewer"
                found.append(self._say(book.step, way=way, wanted=asked.said(asked.wanted)))
        candidates = sorted(at for at in seen if at is not None)
        if not scene.known:
            return found
        texts = asked.modality == "i->t"
        phrasings = {True: book.says_yes if texts else book.yes, False: book.says_no if texts else book.no}
        drawn = {right: (self._draw(some),) for right, some in phrasings.items()}
        for at in candidates:
            value = asked.values[scene.ids[at]]
            some = (phrasings if book.mixed else drawn)[value == asked.wanted]
            found.append(self._say(some, n=_n(at), value=asked.said(value)))
        return found

    def _rest(self) -> list[str]:
        scene, book = self._scene, self._book
        return [self._say(book.left if at == scene.match else book.unseen, n=_n(at)) for at in scene.unseen]

    def _draw(self, phrasings: tuple[str, ...]) -> str:
        return self._dice.choice(phrasings)

    def _say(self, phrasings: tuple[str, ...], **words: str) -> str:
        return self._draw(phrasings).format(**words)


def _n(at: int | None) -> str:
    return "image 0" if at is None else f"({at + 1})"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _thing(known: Truth) -> str:
    return f"{with_article(f'{known.colour} {spoken(known.object)}')} on {with_article(known.surface)}"
