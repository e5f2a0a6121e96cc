from __future__ import annotations

import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.folder import FolderHost
from bridge.host import HostError
from dcldm_plugin.types import Clip, Prompt, Sampling, Seeds, TimelineTarget

TARGET = TimelineTarget("folder", position=7)


def make_clip(folder: Path, content: bytes = b"sound", name: str = "rain_1.wav", index: int = 0) -> Clip:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return Clip(
        id=f"clip{index}",
        path=path,
        prompt=Prompt("rain"),
        seeds=Seeds(1, 1),
        model="tone",
        model_version="1",
        sampling=Sampling(),
        request_id="job",
        index=index,
        seconds=1.0,
        sample_rate=48_000,
        channels=1,
        sha256="",
        created="",
    )


def test_clips_appear_complete_and_under_their_names(tmp_path: Path) -> None:
    host = FolderHost(tmp_path / "watched")
    host.start()
    clips = [make_clip(tmp_path / "a"), make_clip(tmp_path / "a", b"other", "rain_2.wav", 1)]
    placements = host.place(clips, TARGET)
    assert [(p.clip_id, p.host, p.item, p.position) for p in placements] == [
        ("clip0", "folder", "rain_1.wav", 7),
        ("clip1", "folder", "rain_2.wav", 7),
    ]
    assert sorted(os.listdir(tmp_path / "watched")) == ["rain_1.wav", "rain_2.wav"]
    assert (tmp_path / "watched" / "rain_2.wav").read_bytes() == b"other"


def test_a_name_is_never_used_twice_for_another_sound(tmp_path: Path) -> None:
    host = FolderHost(tmp_path / "watched")
    for number, content in enumerate([b"one", b"two", b"three"], 1):
        [placement] = host.place([make_clip(tmp_path / "a", content)], TARGET)
        assert placement.item == ("rain_1.wav" if number == 1 else f"rain_1_{number}.wav")
    assert (tmp_path / "watched" / "rain_1.wav").read_bytes() == b"one"


def test_placing_again_places_nothing_twice(tmp_path: Path) -> None:
    host = FolderHost(tmp_path / "watched")
    clip = make_clip(tmp_path / "a")
    assert host.place([clip], TARGET) == host.place([clip], TARGET)
    assert os.listdir(tmp_path / "watched") == ["rain_1.wav"]


def test_a_watcher_never_sees_half_a_clip(tmp_path: Path) -> None:
    content = b"x" * 5_000_000
    seen: set[int] = set()
    stop = threading.Event()
    watched = tmp_path / "watched"
    watched.mkdir()

    def watch() -> None:
        while not stop.is_set():
            seen.update(path.stat().st_size for path in watched.glob("rain*.wav"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(5):
        FolderHost(watched).place([make_clip(tmp_path / "a", content, f"rain_{number}.wav")], TARGET)
    stop.set()
    watcher.join()
    assert seen <= {len(content)}


def test_a_clip_that_is_gone_is_said_in_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    clip = replace(make_clip(tmp_path / "a"), path=tmp_path / "gone.wav")
    with pytest.raises(HostError, match="can't be copied"):
        FolderHost(tmp_path / "watched").place([clip], TARGET)
    assert os.listdir(tmp_path / "watched") == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a file where a folder should be, POSIX style")
def test_an_impossible_folder_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="can't be copied"):
        FolderHost(tmp_path / "file" / "watched").place([make_clip(tmp_path / "a")], TARGET)
