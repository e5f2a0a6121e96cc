"""From what the panels say to requests: new prompts, variations, and what is selected in the DAW made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.types import Clip, GenerationRequest, TimelineTarget
from dcldm_plugin.variations import vary
from ui.commands import Commands
from ui.detail import Ask, Detail
from ui.hosts import HostBar, HostState
from ui.prompt import PromptPanel
from ui.takes_view import TakesView
from ui.to_daw import ToDaw


class Making:
    """`submit` takes a complete request, `say` a sentence and whether it is bad news."""

    def __init__(
        self,
        prompt: PromptPanel,
        view: TakesView,
        detail: Detail,
        hosts: HostBar,
        commands: Commands,
        to_daw: ToDaw,
        submit: Callable[[GenerationRequest], object],
        say: Callable[[str, bool], None],
    ) -> None:
        self._prompt, self._view, self._detail, self._hosts = prompt, view, detail, hosts
        self._commands, self._to_daw, self._submit, self._say = commands, to_daw, submit, say
        self.does: dict[str, Callable[[], object]] = {
            "generate": prompt.ask,
            "prompt": prompt.prompt.setFocus,
            "like": self._like,
            "regenerate_item": self._regenerate_item,
        }
        prompt.asked.connect(self.generate)
        detail.asked.connect(self.vary)
        commands["fit"].toggled.connect(lambda _: self._fit())
        hosts.looked.connect(self._fit)

    def generate(self, texts: Sequence[str]) -> None:
        """Ask for clips of each text, as the panel says, to be placed in the DAW if that is switched on."""
        try:
            self._fit()
            draft = self._prompt.draft()
            target = self._target()
            for text in texts:
                self._submit(draft.request(target, text))
        except DcldmError as error:
            self._prompt.say(str(error))
            return
        self._prompt.submitted(texts[0] if len(texts) == 1 else self._prompt.prompt.toPlainText())

    def vary(self, ask: Ask) -> None:
        """Ask for variations of what is selected, as many as the panel says."""
        chosen = self._view.selected_clips() if ask.kind in ("morph", "more") else [self._detail.clip]
        clips = [clip for clip in chosen if clip is not None]
        try:
            self._submit(
                vary(
                    clips,
                    ask.kind,
                    amount=ask.amount,
                    start=ask.start,
                    end=ask.end,
                    variations=self._prompt.alternates.value(),
                    model=ask.model or None,
                    target=self._target(clips),
                )
            )
        except DcldmError as error:
            self._say(str(error), True)

    def example(self, text: str) -> None:
        """Fill in a prompt and make it at once."""
        self._prompt.prompt.take(text)
        self.generate([text])

    def _target(self, parents: Sequence[Clip] = ()) -> TimelineTarget | None:
        """Where what is made goes, if anywhere: in place of what is selected there if it is made of that, to the
        selected range if its length is taken, else to the cursor.
        """
        if not self._commands["place"].isChecked():
            return None
        if parents:
            return self._to_daw.target_of(parents)
        state = self._hosts.state
        target = state.target()
        return replace(target, position=state.range_start) if self._fits(state) else target

    def _fits(self, state: HostState) -> bool:
        return self._commands["fit"].isChecked() and state.range_length > 0

    def _fit(self) -> None:
        """Take the length of what is selected in the DAW, where that is wanted and something is."""
        state = self._hosts.state
        self._prompt.fit(state.range_length / state.sample_rate if self._fits(state) else None)

    def _regenerate_item(self) -> None:
        """New takes in place of what is selected in the DAW, which stays as a take."""
        clip, count = self._to_daw.selected_clip(), self._prompt.alternates.value()
        self._submit(vary([clip], "regenerate", variations=count, target=self._to_daw.item_target()))

    def _like(self) -> None:
        clip = self._detail.clip
        if clip is not None:
            self._prompt.follow(clip.path)
            self._prompt.prompt.setFocus()
