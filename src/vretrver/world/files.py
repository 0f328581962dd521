"""A folder of the world: pictures, what is asked of them, and the truth about each; a kill leaves it usable.

    world.json      what the folder was made with; another setting needs another folder
    000012-c0.jpg   candidate 0 of group 12; 000012-q.jpg its query's picture
    truth.jsonl     one `Truth` a picture
    topics.jsonl    one question a group: id, kind, modality, text, picture, candidates (pictures or texts), answer,
                    values

A group's pictures are written before its lines, its line in topics.jsonl last: a group counts when that is whole.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from vretrver.errors import InvalidInput, MissingPath, RecordError, StorageError, VretrverError
from vretrver.world.drawing import draw
from vretrver.world.facts import Truth
from vretrver.world.groups import MODALITIES, Group, group
from vretrver.world.scenes import KINDS, VERSION, Scene

JPEG_QUALITY = 86
_NAME = re.compile(r"\d{6,}-(q|c\d+)\.jpg")
_SETTINGS, _TRUTH, _TOPICS = "world.json", "truth.jsonl", "topics.jsonl"


def generate(
    folder: str | os.PathLike[str],
    size: int = 500,
    seed: int = 7,
    split: str = "test",
    distractors: int = 3,
    *,
    kinds: Sequence[str] = KINDS,
    modalities: Sequence[str] = MODALITIES,
    workers: int = 1,
    progress: bool = True,
) -> Path:
    """Write `size` groups with their pictures and truth; what is there is kept, so a killed run goes on where it was.

    Args:
        folder: made if it is not there. A larger `size` later continues it: the first groups stay the same.
        size: groups, that is questions.
        seed, split, distractors, kinds, modalities: as `groups.group`.
        workers: processes that draw; the files are the same for any number.
        progress: a bar on stderr.

    Returns:
        The folder.

    Raises:
        InvalidInput: an argument is not allowed, or the folder was made with other settings.
        MissingExtra: the icons are not installed: `pip install 'vretrver[world]'`.
        StorageError: the folder cannot be written.
    """
    from filelock import FileLock

    if size < 1 or workers < 1:
        raise InvalidInput(f"a world needs a size and workers of at least 1, not {size} and {workers}")
    group(seed, split, 0, distractors, kinds=kinds, modalities=modalities)  # bad arguments make no folder
    folder = Path(folder)
    settings = {
        "seed": seed,
        "split": split,
        "distractors": distractors,
        "kinds": list(kinds),
        "modalities": list(modalities),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "world.lock"):  # two runs that share a folder: the second finds the first one's work
            _settle(folder, {"version": VERSION, **settings})
            _draw_missing(folder, settings, size, workers, progress)
    except VretrverError:
        raise
    except OSError as fault:
        raise StorageError(f"cannot write the world in {folder}: {fault}") from fault
    return folder


def _draw_missing(folder: Path, settings: Mapping[str, Any], size: int, workers: int, progress: bool) -> None:
    from tqdm import tqdm

    questions = _mend(folder)
    write = partial(_write, folder, settings)
    for index, question in enumerate(questions[:size]):
        if not all((folder / file).exists() for file in _files(question)):
            write(index)
    with (
        open(folder / _TRUTH, "a", encoding="utf-8") as truths,
        open(folder / _TOPICS, "a", encoding="utf-8") as asked,
        _mapping(workers) as mapping,
        tqdm(
            total=size,
            initial=min(len(questions), size),
            unit="group",
            desc=f"world/{settings['split']}",
            disable=None if progress else True,  # None: drawn where there is a terminal
        ) as bar,
    ):
        for pictures, question in mapping(write, range(len(questions), size)):
            truths.write("".join(json.dumps(one) + "\n" for one in pictures))
            truths.flush()
            asked.write(json.dumps(question) + "\n")
            asked.flush()
            bar.update()


def truth(folder: str | os.PathLike[str]) -> dict[str, Truth]:
    """The truth about each picture of a folder, by file name.

    Raises:
        MissingPath: the folder holds no world. RecordError: a line does not parse; names it.
    """
    return {one.file: one for one in map(Truth.from_record, _records(Path(folder) / _TRUTH))}


def topics(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The questions of a folder, in order, as this module's docstring lists them.

    Raises:
        MissingPath, RecordError: as `truth`.
    """
    return [_checked(record) for record in _records(Path(folder) / _TOPICS)]


def _write(folder: Path, settings: Mapping[str, Any], index: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Draw one group's pictures; its lines for the two listings."""
    one = group(index=index, **settings)
    named = _named(one)
    for file, scene in named.items():
        _save(folder / file, scene)
    shown = [file for file in named if file != f"{index:06d}-q.jpg"]
    question = {
        "id": one.id,
        "kind": one.kind,
        "modality": one.modality,
        "text": one.text,
        "picture": f"{index:06d}-q.jpg" if one.picture else None,
        "candidates": shown or [*one.candidates],
        "answer": one.answer,
        "values": list(one.values),
    }
    return [Truth.of(file, scene).to_record() for file, scene in named.items()], question


def _named(one: Group) -> dict[str, Scene]:
    scenes = {f"{one.index:06d}-q.jpg": one.picture} if one.picture else {}
    for at, candidate in enumerate(one.candidates):
        if isinstance(candidate, Scene):
            scenes[f"{one.index:06d}-c{at}.jpg"] = candidate
    return scenes


def _save(path: Path, scene: Scene) -> None:
    part = path.with_suffix(f".{os.getpid()}.part")
    # 4:4:4: halved colour would blur a red mark into its neighbours.
    draw(scene).save(part, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    part.replace(path)


def _settle(folder: Path, settings: dict[str, Any]) -> None:
    path = folder / _SETTINGS
    if not path.exists():
        part = path.with_suffix(".part")
        part.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
        part.replace(path)
        return
    try:
        present = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise RecordError(f"{path} does not parse: {fault}") from fault
    if differing := [name for name in settings if not isinstance(present, dict) or present.get(name) != settings[name]]:
        raise InvalidInput(
            f"{folder} holds a world with another {', '.join(differing)}; take another folder or the same settings"
        )


def _mend(folder: Path) -> list[dict[str, Any]]:
    """Cut both listings back to whole groups, as a kill may have left a part of one; the whole ones' questions."""
    questions = [_checked(question) for question in _whole_lines(folder / _TOPICS)]
    files = {file for question in questions for file in _files(question)}
    truths = [one for one in _whole_lines(folder / _TRUTH) if one.get("file") in files]
    for name, records in ((_TOPICS, questions), (_TRUTH, truths)):
        part = folder / f"{name}.part"
        part.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        part.replace(folder / name)
    for stray in folder.glob("*-*.part"):
        stray.unlink(missing_ok=True)
    return questions


def _checked(question: dict[str, Any]) -> dict[str, Any]:
    """The question, if it names no file but those of its folder."""
    try:
        if all(_NAME.fullmatch(file) for file in _files(question)) and question["answer"] in range(
            len(question["candidates"])
        ):
            return question
    except (KeyError, TypeError):
        pass
    raise RecordError(f"this question of the world does not parse: {str(question)[:200]}")


def _files(question: Mapping[str, Any]) -> list[str]:
    shown = [] if question["modality"] == "i->t" else list(question["candidates"])
    return shown + ([question["picture"]] if question["picture"] else [])


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    whole: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not isinstance(record, dict):
            break
        whole.append(record)
    return whole


def _records(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        raise MissingPath(f"{path} is not there; make it with vretrver.world.generate")
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield json.loads(line)
            except ValueError as fault:
                raise RecordError(f"{path}, line {number}: {fault}") from fault


@contextmanager
def _mapping(workers: int) -> Iterator[Any]:
    """`map` here, or over processes: in order either way. Spawned, so that no thread's lock is copied."""
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield partial(pool.map, chunksize=4)
