"""Who asked for what over OSC, and how they are told about it: replies to senders, news to hosts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from bridge.host import Host, News
from bridge.osc import MAX_DATAGRAM_BYTES, OscSocket, Peer
from dcldm_plugin.jobs import Job, JobState
from dcldm_plugin.library import Library
from dcldm_plugin.session import ClipReady, JobChanged, JobProgress, SessionEvent
from dcldm_plugin.types import Clip, TimelineTarget

PROGRESS_SECONDS = 0.1  # at most one progress reply per job in this time, except at a new stage

STATUS = {
    JobState.QUEUED: "accepted",
    JobState.RUNNING: "progress",
    JobState.PLACING: "progress",
    JobState.FINISHED: "done",
    JobState.FAILED: "error",
    JobState.CANCELLED: "cancelled",
    JobState.INTERRUPTED: "interrupted",
}


@dataclass
class _Watch:
    """Who is told about a job, and how far the telling is."""

    address: str  # where it was asked for
    peer: Peer
    target: TimelineTarget | None
    stage: tuple[int, str] = (-1, "")
    told: float = 0.0  # monotonic seconds


class Telling:
    """Replies carry one JSON string, under `/reply` + the address that was sent."""

    def __init__(self, library: Library, hosts: Mapping[str, Host], osc: OscSocket) -> None:
        self._library = library
        self._hosts = hosts
        self._osc = osc
        self.lock = threading.RLock()  # held while a job is submitted: "accepted" comes before all else about it
        self._watches: dict[str, _Watch] = {}

    def watch(self, job: Job, address: str, peer: Peer) -> None:
        """Answer for a job now, and tell this peer how it goes until it is over."""
        self.reply(peer, address, job.id, STATUS[job.state], **self.report(job))
        if not job.state.over:
            target = job.request.target
            self._watches.setdefault(job.id, _Watch(address, peer, target)).peer = peer
            self.show(job.id, target, "accepted", f"{job.request.prompt.text}: accepted")

    def follow(self, event: SessionEvent) -> None:
        """A listener of the session: progress and results go to whoever asked, and into the host."""
        with self.lock:
            match event:
                case JobProgress() if event.job_id in self._watches:
                    self._progress(event, self._watches[event.job_id])
                case ClipReady() if event.job_id in self._watches:
                    self._tell(event.job_id, "clip", clip=_clip(event.clip))
                case JobChanged() if event.job.state.over and event.job.id in self._watches:
                    job = event.job
                    self._tell(job.id, STATUS[job.state], **self.report(job))
                    self.show(job.id, job.request.target, *_outcome(job))
                    del self._watches[job.id]

    def show(self, job_id: str, target: TimelineTarget | None, status: str, text: str, fraction: float = 0.0) -> None:
        """News for the user inside the host that a job is for, if there is one."""
        if target is not None and target.host in self._hosts:
            self._hosts[target.host].show(News(job_id, target.project, status, text, fraction))

    def report(self, job: Job) -> dict[str, object]:
        """What a reply says of a job beside its status: clips that are there, placements, what went wrong."""
        report: dict[str, object] = {}
        clips = self._library.clips(request_id=job.id, rejected=None) if job.clip_ids else []
        if clips:
            report["clips"] = [_clip(clip) for clip in sorted(clips, key=lambda clip: clip.index)]
        if job.placements:
            report["placements"] = [asdict(placement) for placement in job.placements]
        if job.error:
            report["error"] = job.error
        return report

    def reply(self, peer: Peer, address: str, job_id: str, status: str, **values: object) -> None:
        answer = {"id": job_id, "status": status, **values}
        text = json.dumps(answer, ensure_ascii=False)
        if len(text.encode()) > MAX_DATAGRAM_BYTES - 256:  # macOS carries no datagram over 9 KB
            answer = {"id": job_id, "status": status, "shortened": True, "error": values.get("error", "")}
            text = json.dumps(answer, ensure_ascii=False)
        self._osc.send(peer, f"/reply{address}", text)

    def _progress(self, event: JobProgress, watch: _Watch) -> None:
        now, stage = time.monotonic(), (event.index, event.stage)
        if stage == watch.stage and now - watch.told < PROGRESS_SECONDS:
            return
        watch.stage, watch.told = stage, now
        self._tell(
            event.job_id,
            "progress",
            variation=event.index,
            stage=event.stage,
            fraction=round(event.fraction, 3),
        )
        text = f"variation {event.index + 1}: {event.stage}"
        self.show(event.job_id, watch.target, "progress", text, event.fraction)

    def _tell(self, job_id: str, status: str, **values: object) -> None:
        watch = self._watches[job_id]
        self.reply(watch.peer, watch.address, job_id, status, **values)


def _clip(clip: Clip) -> dict[str, object]:
    return {"id": clip.id, "variation": clip.index, "path": str(clip.path), "seconds": clip.seconds}


def _outcome(job: Job) -> tuple[str, str]:
    """A status and a sentence for the user inside the host."""
    if job.error:
        return "error", job.error
    return STATUS[job.state], f"{job.request.prompt.text}: {STATUS[job.state]}"
