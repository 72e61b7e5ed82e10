"""``mofore search``: find the index that belongs to the settings, then ask it, once or many times."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...cache.fingerprint import KEY_LENGTH
from ...data.errors import MoforeError, StaleError, UsageError, VideoError
from ...data.index_settings import SPACES
from ...stages.search.queries import Asked, Names, is_image_file, is_phrase, read_query, refuse_phrase
from .. import console
from ..query_sources import QuerySources
from ..road import make_plan
from ..snapshot import Snapshot
from ..stage import Plan

if TYPE_CHECKING:
    from ...stages.search.embedding import QueryEmbedding
    from ...stages.search.queries import Query
    from ...stages.search.searcher import Answer, Searcher
    from ...stages.vectors.vector_index import VectorIndex

AND = " + "  # between queries that are averaged, in a line that is typed


class Session:
    """An index that stays open: what a query needs is loaded when the first one does, and kept."""

    def __init__(
        self, snapshot: Snapshot, asked: Asked, sheet: Path | None = None, *, note: Callable[[str], None] | None = None
    ) -> None:
        """Find the index.

        Args:
            snapshot: of the work folder.
            asked: how to search.
            sheet: where each answer is drawn, one in place of the other; None for nowhere.
            note: told what the user should know; None: the console.

        Raises:
            StaleError: if there is none for these settings yet.
            UsageError: if no sheet can be drawn.
        """
        self.snapshot, self.asked, self.sheet = snapshot, asked, sheet
        if sheet is not None:
            from .sheet import refuse_sheet

            refuse_sheet(snapshot, sheet)
        note = note or console.say_note
        self.index_key = _index_to_ask(snapshot, make_plan(snapshot), note)
        self.sources = QuerySources(snapshot, note)
        self._searchers: dict[tuple[str, str], Searcher] = {}

    def answer(self, texts: Sequence[str | Query], asked: Asked | None = None) -> Answer:
        """The nearest of a query, or of the mean of several.

        Args:
            texts: as they are typed, or read already.
            asked: how to search, if not as the session does.

        Raises:
            UsageError: if a text stands for nothing, or cannot be searched for so.
            StaleError: if the space is not indexed, or by another model.
            VideoError: if a file cannot be read.
        """
        asked = asked or self.asked
        typed = [text for text in texts if isinstance(text, str)]
        space = asked.space or _suitable_space(typed)
        if any(map(is_phrase, typed)):
            refuse_phrase(self.snapshot.config.extract.backbone, space)
        searcher = self.searcher(space, asked.level)
        queries = [self._query(text, searcher, asked) if isinstance(text, str) else text for text in texts]
        return searcher.answer(queries, asked)

    def _query(self, text: str, searcher: Searcher, asked: Asked) -> Query:
        """What a text stands for; of a video that is not in the index, why.

        Raises:
            UsageError: if it stands for nothing.
        """
        try:
            return read_query(text, searcher.names, span=asked.span, template=asked.template)
        except UsageError:
            known = Names(video.id for video in self.snapshot.catalog.videos)
            video = known.find(text)
            video_id = None if video is None else known.ids[video]
            if video_id is None or video_id in searcher.names.by_id:
                raise
            failure = self.snapshot.failed.get(video_id)
            run = f"run `{self.snapshot.workspace.told('index')}`"
            why = f"it could not be read ({failure.reason})" if failure else run
            raise UsageError(f"{video_id!r} is not in the index: {why}") from None

    def searcher(self, space: str, level: str) -> Searcher:
        """The index of a space at a level, opened once.

        Raises:
            StaleError: if it was not indexed, with the command that would.
        """
        if (space, level) not in self._searchers:
            from ...stages.search.searcher import Searcher
            from ...stages.vectors.vector_index import VectorIndex

            index = VectorIndex.load(self.index_folder(space, level))
            self._searchers[space, level] = Searcher(index, lambda: self._open_embedding(index))
        return self._searchers[space, level]

    def index_folder(self, space: str, level: str) -> Path:
        """Folder of a space at a level.

        Raises:
            StaleError: if it was not indexed, with the command that would.
        """
        return _index_folder(self.snapshot, self.index_key, space, level)

    def _open_embedding(self, index: VectorIndex) -> QueryEmbedding:
        """The networks of a space.

        Raises:
            StaleError: if the index was made by others.
        """
        from ...stages.model.spaces import open_space
        from ...stages.search.embedding import QueryEmbedding

        # Its own fit: of an index that is out of date, neither the present one nor the latest need be that.
        fit_folder = self.snapshot.workspace.stage("fit", index.about.provenance["fit"])
        space = open_space(index.about.space, self.snapshot.config.index, fit_folder, self.snapshot.store_key)
        if space.model != index.about.model:
            raise StaleError(
                f"the index '{index.folder}' was made by the model {index.about.model[:12]}, the query would be made "
                f"by {space.model[:12]}: run `{self.snapshot.workspace.told('index')}`"
            )
        return QueryEmbedding(space, self.sources.stored, self.sources.open_encoder)


def find_index(snapshot: Snapshot, space: str, level: str) -> Path:
    """Folder of the index of a space and level.

    Raises:
        StaleError: if there is none, with the command that would make it.
    """
    return _index_folder(snapshot, _index_to_ask(snapshot, make_plan(snapshot), console.say_note), space, level)


def _index_folder(snapshot: Snapshot, key: str, space: str, level: str) -> Path:
    from ...stages.vectors.vector_index import ABOUT, folder_name

    whole = snapshot.workspace.stage("index", key)
    folder = whole / folder_name(space, level)
    if (folder / ABOUT).exists():
        return folder
    there = ", ".join(sorted(path.parent.name for path in whole.glob(f"*/{ABOUT}")))
    raise StaleError(
        f"the space {space!r} is not indexed at the level of {level}s (there are: {there}); "
        f"{_how_to_index(snapshot, space, level)}"
    )


def refuse_wrong_usage(queries: Sequence[str], *, as_json: bool, as_csv: bool, interactive: bool) -> None:
    """Options that do not go together.

    Raises:
        UsageError: saying which.
    """
    if as_json and as_csv:
        raise UsageError("--json and --csv: give one of them")
    if bool(queries) is interactive:
        raise UsageError(
            "--interactive asks for the queries itself: leave them out"
            if interactive
            else 'what is to be searched for? A video of the index, a file, "text: ...", or --interactive'
        )


def show_answer(session: Session, answer: Answer, form: str, *, indent: int | None = 2) -> None:
    """Draw the sheet if one is wanted, and show the answer as json, csv or table."""
    if session.sheet is not None:
        from .sheet import write_answer

        write_answer(session.snapshot, answer, session.sheet)
        console.say(f"sheet: {session.sheet}")
    if form == "json":
        console.write_text(console.answer_as_json(answer, indent=indent) + "\n")
    elif form == "csv":
        console.write_text(console.answer_as_csv(answer))
    else:
        console.show_answer(answer)


def answered(session: Session, texts: Sequence[str]) -> Answer:
    """The answer to what was typed.

    Raises:
        UsageError: if it stands for nothing that can be searched for, a file that is no video or image among it.
    """
    try:
        return session.answer(texts)
    except VideoError as error:
        known = min(session.snapshot.stored, default="")
        raise UsageError(
            f'{error}: give a video or an image file, the id of a video of the index, such as {known}, or "text: ..."'
        ) from error


def converse(session: Session, lines: Iterable[str], form: str) -> None:
    """Answer one line after another; what is wrong with one of them is said, and the next one read."""
    for line in lines:
        try:
            show_answer(session, answered(session, [text.strip() for text in line.split(AND)]), form, indent=None)
        except (MoforeError, OSError) as error:
            console.show_error(str(error))
            if form == "json":  # whoever counts lines gets one for each query
                console.write_text(json.dumps({"query": line, "error": str(error)}) + "\n")


def _suitable_space(texts: Sequence[str]) -> str:
    """Pictures and texts are compared with frames, videos in the learnt space."""
    return "frames" if any(is_phrase(text) or is_image_file(text) for text in texts) else "mofore"


def _how_to_index(snapshot: Snapshot, space: str, level: str) -> str:
    """The command that makes an index of a space and level too."""
    if space not in SPACES and not space.startswith("fit:"):
        return f"spaces are {', '.join(SPACES)} and fit:KEY"
    settings = snapshot.config.index
    spaces = ", ".join(dict.fromkeys([*settings.space_names(), space]))
    levels = ", ".join(dict.fromkeys([*settings.level_names(), level]))
    values = {"index.spaces": (settings.spaces, spaces), "index.levels": (settings.levels, levels)}
    sets = " ".join(f'--set {key}="{new}"' for key, (old, new) in values.items() if old != new)
    command = snapshot.workspace.told(f"index {sets}")
    return f"`{command}` makes it (with the same --set here, or the setting in mofore.toml)"


def _index_to_ask(snapshot: Snapshot, plan: Plan, note: Callable[[str], None]) -> str:
    """Folder of the index; one that is out of date is asked, with a warning."""
    if plan["index"].action != "run":
        return plan["index"].key
    latest_index = snapshot.ledger.latest("index")
    if latest_index is None or not snapshot.stored or snapshot.broken_outputs(latest_index):
        raise StaleError(f"there is no index for these settings yet: run `{snapshot.workspace.told('index')}`")
    why = "; ".join(map(str, plan["index"].reasons))
    note(f"the index is out of date ({why}); `{snapshot.workspace.told('index')}` brings it up to date")
    return latest_index.fingerprint[:KEY_LENGTH]
