"""Placing clips that are there already, as often as the user likes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from bridge.host import Host
from dcldm_plugin.types import Clip, Placement, TimelineTarget


def insert(host: Host, clips: Sequence[Clip], target: TimelineTarget) -> Sequence[Placement]:
    """Put clips on the timeline, as takes if there are several; waits for the host. Raises `HostError`.

    Hosts place a clip of a job once, so that a request can be sent again. Here each call is a job of its own:
    what is inserted twice is wanted twice.
    """
    job_id = uuid.uuid4().hex
    return host.place([replace(clip, request_id=job_id) for clip in clips], target)
