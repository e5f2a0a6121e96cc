"""What the user says of takes: favourites, stars, rejected ones, names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from dcldm_plugin.library import Library
from dcldm_plugin.types import Clip
from ui.detail import Detail
from ui.takes import TakesModel
from ui.takes_view import TakesView
from ui.widgets import counted


class Choosing:
    """`bring_back` shows a clip that was out of sight; `say` takes a sentence and whether it is bad news."""

    def __init__(
        self,
        library: Library,
        model: TakesModel,
        view: TakesView,
        detail: Detail,
        bring_back: Callable[[str], None],
        say: Callable[[str, bool], None],
    ) -> None:
        self._library, self._model, self._view, self._detail = library, model, view, detail
        self._bring_back, self._say = bring_back, say
        self._rejected: list[str] = []  # ids of the clips that were rejected last
        self.changed: Callable[[], None] = lambda: None  # called when something was said of the current clip
        self.does: dict[str, Callable[[], object]] = {
            "favourite": lambda: self.star(view.selected_clips()),
            "reject": self._reject,
            "undo": self._undo_reject,
            "rename": self._edit_name,
            **{f"rate_{stars}": partial(self.mark, rating=stars) for stars in range(6)},
        }

    def mark(self, **marks: bool | int | str) -> None:
        """Say something of all selected clips."""
        for clip in self._view.selected_clips():
            self._model.clip_changed(self._library.mark(clip.id, **marks))  # type: ignore[arg-type]
        self.changed()

    def star(self, clips: Sequence[Clip]) -> None:
        """Make clips favourites, or none if all are."""
        on = not all(clip.marks.favourite for clip in clips)
        for clip in clips:
            self._model.clip_changed(self._library.mark(clip.id, favourite=on))
        self.changed()

    def rename(self, name: str) -> None:
        """Give the file of the current clip another name."""
        clip = self._detail.clip
        if clip is not None:
            self._model.clip_changed(self._library.rename(clip.id, name))
            self.changed()

    def _reject(self) -> None:
        """Out of sight, but not gone; or back, where rejected clips are listed."""
        clips = self._view.selected_clips()
        if not clips:
            return
        rejected = not clips[0].marks.rejected
        row = self._view.currentIndex().row()
        self.mark(rejected=rejected)
        self._rejected = [clip.id for clip in clips] if rejected else []
        self._view.go_to(self._model.index(min(row, self._model.rowCount() - 1)))
        words = f"{counted(clips)} rejected; Undo brings back." if rejected else f"{counted(clips)} back."
        self._say(words[0].upper() + words[1:], False)

    def _undo_reject(self) -> None:
        for clip_id in self._rejected:
            self._library.mark(clip_id, rejected=False)
        if self._rejected:
            back, self._rejected = self._rejected[0], []
            self._bring_back(back)

    def _edit_name(self) -> None:
        self._detail.name.setFocus()
        self._detail.name.selectAll()
