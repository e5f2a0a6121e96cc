"""From the list to the DAW and back: insert, replace, drag, and what is selected there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from PyQt6.QtGui import QGuiApplication

from bridge.insert import insert
from bridge.program import Program
from dcldm_plugin.audio.clip_file import to_clip
from dcldm_plugin.errors import DcldmError
from dcldm_plugin.rights import check_clip
from dcldm_plugin.types import Clip, TimelineTarget
from ui.detail import Detail
from ui.hosts import HostBar, HostState
from ui.reveal import reveal
from ui.signals import Background
from ui.takes import TakesModel
from ui.takes_view import TakesView
from ui.widgets import counted


class ToDaw:
    """`say` takes a sentence and whether it is bad news."""

    def __init__(
        self,
        program: Program,
        hosts: HostBar,
        background: Background,
        model: TakesModel,
        view: TakesView,
        detail: Detail,
        say: Callable[[str, bool], None],
    ) -> None:
        self._program, self._hosts, self._background = program, hosts, background
        self._model, self._view, self._detail, self._say = model, view, detail, say
        self.does: dict[str, Callable[[], object]] = {
            "insert": lambda: self.insert(view.selected_clips(), hosts.state.target()),
            "insert_takes": self._insert_takes,
            "replace": lambda: self.insert(view.selected_clips(), self.item_target()),
            "place_again": self._place_again,
            "reveal": self._reveal,
            "copy_path": self._copy_paths,
        }
        view.may_go = self._may_go
        view.dragged.connect(lambda clips: self._gone(clips, f"{counted(clips, 'file')} handed over."))

    def insert(self, clips: Sequence[Clip], target: TimelineTarget) -> None:
        """Put clips on the timeline; several become takes of one item. Raises `DcldmError`."""
        if not clips:
            raise DcldmError("Choose a clip first.")
        self._check_rights(clips)
        state = self._hosts.state
        host = self._program.hosts[target.host]
        where = state.folder or f"{target.track or 'a new track'}, {state.where}"
        if target.item and target.item != state.slot:
            where = "in place of the selected item, which stays as a take"
        self._say(f"Placing {counted(clips)} in {state.title} …", False)
        self._background.do(
            lambda: insert(host, clips, target),
            lambda placed: self._gone(clips, f"{counted(placed)} in {state.title}: {where}."),
            lambda sentence: self._say(sentence, True),
        )

    def selected_clip(self) -> Clip:
        """The clip of ours that is selected on the timeline. Raises `DcldmError`."""
        state = self._with_item()
        path = Path(state.file)
        clip = to_clip(self._program.library.record_at(path), path)
        return self._program.library.get(clip.id) or clip

    def item_target(self) -> TimelineTarget:
        """In place of what is selected on the timeline. Raises `DcldmError`."""
        state = self._with_item()
        return replace(state.target(), item=state.item)

    def _with_item(self) -> HostState:
        """The chosen host, with a sound selected on its timeline. Raises `DcldmError`."""
        state = self._hosts.state
        state.target()  # says it if nobody is there
        if state.folder:
            raise DcldmError("A folder has no timeline; choose the DAW above, whose item is meant.")
        if not state.item or not state.file:
            raise DcldmError(f"No sound is selected in {state.title}; select one there, and try again in a moment.")
        return state

    def target_of(self, clips: Sequence[Clip]) -> TimelineTarget:
        """Where variations of clips go: in place of the first if it is what is selected there, else to the cursor."""
        state = self._hosts.state
        if state.item and state.file and clips:
            try:
                if self.selected_clip().id == clips[0].id:
                    return self.item_target()
            except DcldmError:  # something of somebody else's is selected
                pass
        return state.target()

    def _insert_takes(self) -> None:
        """All alternates of the current request, the current one first."""
        row = self._model.row(self._view.currentIndex())
        if row is not None:
            current = [row.clip] if row.clip is not None else []
            takes = current + [clip for clip in row.group.ordered if clip is not row.clip]
            self.insert(takes, self._hosts.state.target())

    def _place_again(self) -> None:
        row = self._model.row(self._view.currentIndex())
        if row is not None and row.group.job is not None:
            self._program.session.place_again(row.group.id)

    def _check_rights(self, clips: Sequence[Clip]) -> None:
        """Raises `InvalidInput` for a clip that may not be sold, where only such as may are wanted."""
        for clip in clips if self._program.session.commercial_only else ():
            check_clip(clip)

    def _may_go(self, clips: Sequence[Clip]) -> bool:
        """Whether clips may be dragged out; says why not."""
        try:
            self._check_rights(clips)
        except DcldmError as error:
            self._say(str(error), True)
            return False
        return True

    def _gone(self, clips: Sequence[Clip], words: str) -> None:
        """A project refers to these files from now on, so the library is not to move them."""
        for clip in clips:
            if self._program.library.get(clip.id) is not None:
                self._model.clip_changed(self._program.library.mark(clip.id, placed=True))
        self._say(words, False)

    def _reveal(self) -> None:
        clip = self._detail.clip
        if clip is not None:
            self._background.do(lambda: reveal(clip.path), lambda _: None)

    def _copy_paths(self) -> None:
        clips = self._view.selected_clips()
        clipboard = QGuiApplication.clipboard()
        if clips and clipboard is not None:
            clipboard.setText("\n".join(str(clip.path) for clip in clips))
            self._say(f"The path of {counted(clips)} is on the clipboard.", False)
