from __future__ import annotations

import json
import math
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.api import Api
from bridge.arguments import read
from bridge.folder import FolderHost
from bridge.host import Hello, Host, HostWord, News, Placed, PlacingFailed
from bridge.osc import OscSocket, decode, encode
from bridge.spotting import Spotting
from bridge.table import TABLE, markdown
from dcldm_plugin.engine.process import EngineProcess
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.jobs import JobStore
from dcldm_plugin.library import Library
from dcldm_plugin.session import Session
from dcldm_plugin.types import Clip, Placement, TimelineTarget
from dcldm_plugin.variations import clip_at

README = Path(__file__).parents[2] / "README.md"


class Notebook(Host):
    """A host that places nothing and writes down what it is told."""

    name = "notebook"

    def __init__(self) -> None:
        self.words: list[HostWord] = []
        self.news: list[News] = []
        self.chosen: list[str] = []
        self.media: Path | None = None
        self.targets: list[TimelineTarget] = []
        self.session: Hello | None = None

    def folder(self, target: TimelineTarget) -> Path | None:
        return self.media

    def choose(self, clips: Sequence[Clip], index: int, target: TimelineTarget) -> None:
        self.chosen.append(clips[index].id)

    def open_sessions(self) -> Mapping[str, Hello]:
        return {} if self.session is None else {self.session.project: self.session}

    def place(self, clips: Sequence[Clip], target: TimelineTarget) -> Sequence[Placement]:
        self.targets.append(target)
        return [Placement(clip.id, self.name, "item", target.track, target.position) for clip in clips]

    def hear(self, word: HostWord) -> None:
        self.words.append(word)

    def show(self, news: News) -> None:
        self.news.append(news)

    def describe(self) -> Mapping[str, object]:
        return {"pages": len(self.words)}


class Client:
    """What a sender of OSC sees: its socket and the JSON of the replies."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(180)
        self.socket.connect(("127.0.0.1", port))

    def send(self, address: str, *arguments: str | float | bool | None) -> None:
        self.socket.send(encode(address, *arguments))

    def next(self) -> tuple[str, dict[str, Any]]:
        [(address, [text])] = decode(self.socket.recv(65_535))
        return address, json.loads(text)

    def ask(self, address: str, *arguments: str | float | bool | None) -> dict[str, Any]:
        self.send(address, *arguments)
        answered, reply = self.next()
        assert answered == f"/reply{address}"
        return reply

    def until_over(self, job_id: str) -> list[dict[str, Any]]:
        replies = []
        while True:
            address, reply = self.next()
            assert (address, reply["id"]) == ("/reply/dcldm/generate", job_id)
            replies.append(reply)
            if reply["status"] not in {"accepted", "progress", "clip"}:
                return replies


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
def port(tmp_path: Path, notebook: Notebook) -> Iterator[int]:
    hosts: dict[str, Host] = {"folder": FolderHost(tmp_path / "inbox"), "notebook": notebook}
    library = Library(tmp_path / "library", tmp_path / "library" / "index.sqlite")
    jobs = JobStore(tmp_path / "library" / "index.sqlite")
    engine = EngineProcess(tmp_path / "renders")
    session = Session(library, jobs, engine, hosts)
    osc = OscSocket(0)
    api = Api(session, library, hosts, osc, Spotting(session, tmp_path / "runs"), model="tone")
    session.subscribe(api.follow)
    osc.start(api.receive, api.refuse)
    yield osc.port
    osc.stop()
    for part in (session, engine, jobs, library):
        part.close()


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    one = Client(port)
    yield one
    one.socket.close()


def test_the_readme_has_the_table() -> None:
    marker = "<!-- osc-api -->"
    parts = README.read_text(encoding="utf-8").split(marker)
    assert len(parts) == 3, f"README.md must have {marker} twice, around the table"
    assert parts[1].strip() == markdown().strip()


def test_models_say_what_they_can_do(client: Client) -> None:
    names = [each["name"] for each in client.ask("/dcldm/models")["models"]]
    assert {"builtin", "tone", "tango2", "stable-audio-open-1.0", "diffsound"} <= set(names)
    answer = client.ask("/dcldm/models", "stable-audio-open-1.0")
    model = answer["model"]
    assert (model["sample_rate"], model["channels"], model["controls"]) == (44_100, 2, ["regenerate", "purify"])
    assert "needs an acoustic plan" in answer["lacks"]["rearrange"] and "purify" not in answer["lacks"]
    assert "no model named 'nonesuch'" in client.ask("/dcldm/models", "nonesuch")["error"]


def test_ping(client: Client) -> None:
    reply = client.ask("/dcldm/ping")
    assert reply["status"] == "ok"
    assert reply["hosts"]["notebook"] == {"pages": 0}


def test_from_a_prompt_to_placed_clips(client: Client, tmp_path: Path) -> None:
    client.send("/dcldm/generate", "job-1", "rain", 0.5, 2, 7, "", "folder", "", 11)
    replies = client.until_over("job-1")
    statuses = [reply["status"] for reply in replies]
    assert statuses[0] == "accepted" and statuses[-1] == "done"
    assert statuses.count("clip") == 2 and "progress" in statuses
    assert {"stage", "fraction", "variation"} <= next(r for r in replies if r["status"] == "progress").keys()
    done = replies[-1]
    assert [clip["variation"] for clip in done["clips"]] == [0, 1]
    assert all(Path(clip["path"]).is_file() for clip in done["clips"])
    assert [placement["position"] for placement in done["placements"]] == [11, 11]
    assert len(list((tmp_path / "inbox").glob("*.wav"))) == 2


def test_the_same_id_again_is_the_same_job(client: Client, port: int, tmp_path: Path) -> None:
    client.send("/dcldm/generate", "job-1", "rain", 0.5)
    done = client.until_over("job-1")[-1]
    second = Client(port)
    again = second.ask("/dcldm/generate", "job-1", "rain", 0.5)
    second.socket.close()
    assert again == done
    assert len(list((tmp_path / "library" / "clips").rglob("*.wav"))) == 1


def test_numbers_come_in_every_type(client: Client) -> None:
    client.send("/dcldm/generate", "job-1", "rain", True, 2.0, 3.0)  # T, f, f
    assert len(client.until_over("job-1")[-1]["clips"]) == 2


def test_a_clip_is_varied_and_says_what_it_was_made_from(client: Client) -> None:
    client.send("/dcldm/generate", "job-1", "rain", 1.0, 1, 7, "builtin")
    (first,) = client.until_over("job-1")[-1]["clips"]
    client.send("/dcldm/vary", "job-2", first["id"], "retexture", 0.4, *[None] * 5, 2)
    answered, statuses = set(), []
    while not statuses or statuses[-1] in {"accepted", "progress", "clip"}:
        address, reply = client.next()
        answered.add(address)
        statuses.append(reply["status"])
    assert (answered, statuses[-1]) == ({"/reply/dcldm/vary"}, "done")
    second = clip_at(Path(reply["clips"][1]["path"]))
    assert second.request is not None and second.request.control is not None
    assert second.request.control.amount == pytest.approx(0.4)
    assert second.request.control.parents[0].clip == first["id"]


def test_what_a_control_needs_is_said(client: Client, tmp_path: Path) -> None:
    client.send("/dcldm/generate", "job-1", "rain", 0.5)
    (clip,) = client.until_over("job-1")[-1]["clips"]
    for arguments, words in (
        ((clip["id"], "shrink"), "There is no control 'shrink'"),
        ((clip["id"], "morph"), "1 clips are given; give 2"),
        ((clip["id"], "retexture", 0.5), "does not have the control 'retexture'"),
        ((clip["id"], "retexture", 1.5), "distance"),
        ((clip["id"], "repair", None, 0.2, 0.9), "not within the clip"),
        ((str(tmp_path / "gone.wav"), "regenerate"), "gone.wav"),
    ):
        reply = client.ask("/dcldm/vary", "job-2", *arguments)
        assert reply["status"] == "error" and words in reply["error"], reply


def test_status_of_one_and_of_all(client: Client) -> None:
    client.send("/dcldm/generate", "job-1", "rain", 0.5)
    done = client.until_over("job-1")[-1]
    assert client.ask("/dcldm/status", "job-1") == done
    assert client.ask("/dcldm/status")["jobs"] == [{"id": "job-1", "status": "done"}]
    assert client.ask("/dcldm/status", "nothing")["status"] == "error"


def test_cancel(client: Client) -> None:
    for job_id in ("job-1", "job-2"):
        assert client.ask("/dcldm/generate", job_id, "slow rain", 0.5, 32)["status"] == "accepted"
    client.send("/dcldm/cancel", "job-2")
    client.send("/dcldm/cancel", "job-1")
    over, accepted = {}, []
    while len(over) < 2 or len(accepted) < 2:
        address, reply = client.next()
        if address == "/reply/dcldm/cancel":
            accepted.append(reply["status"])
        elif reply["status"] not in {"progress", "clip"}:
            over[reply["id"]] = reply["status"]
    assert over == {"job-1": "cancelled", "job-2": "cancelled"}
    assert accepted == ["accepted", "accepted"]
    assert client.ask("/dcldm/cancel", "nothing")["status"] == "error"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "'prompt' is missing"),
        (("job-1",), "'prompt' is missing"),
        (("job-1", ""), "'prompt' is missing"),
        (("job-1", "   "), "empty"),
        (("job-1", 7), "'prompt' must be a text"),
        (("job 1", "rain"), "letters, digits"),
        (("job-1", "r" * 7000), "7,000 characters"),
        (("job-1", "rain\x07"), "U+0007"),
        (("job-1", "rain", 0.0), "length"),
        (("job-1", "rain", math.nan), "length"),
        (("job-1", "rain", 1e9), "length"),
        (("job-1", "rain", "long"), "'seconds' must be a number"),
        (("job-1", "rain", 1.0, 0), "variations"),
        (("job-1", "rain", 1.0, 10_000), "variations"),
        (("job-1", "rain", 1.0, 1.5), "whole number"),
        (("job-1", "rain", 1.0, 1, -1), "seed"),
        (("job-1", "rain", 1.0, 1, 2.0**63), "seed"),
        (("job-1", "rain", 1.0, 1, 1, "nothing"), "no model named 'nothing'"),
        (("job-1", "rain", 1.0, 1, 1, "", "reaper"), "'reaper'"),
        (("job-1", "rain", 1.0, 1, 1, "", "folder", "", -5), "position"),
        (("job-1", "rain", 1.0, 1, 1, "", "folder", "", 0, 1), "sample rate"),
        (("job-1", "rain", *[1.0] * 30), "32 arguments"),
    ],
)
def test_bad_input_is_answered_with_a_sentence(
    client: Client, arguments: tuple[str | float, ...], complaint: str
) -> None:
    reply = client.ask("/dcldm/generate", *arguments)
    assert reply["status"] == "error"
    assert complaint in reply["error"] and reply["error"].endswith(".")
    assert client.ask("/dcldm/status")["jobs"] == []


@pytest.mark.parametrize("prompt", ["дождь по крыше", "מטר על הגג", "🌧️ on a 🏠"])
def test_all_writing_is_welcome(client: Client, prompt: str) -> None:
    client.send("/dcldm/generate", "job-1", prompt, 0.5)
    assert client.until_over("job-1")[-1]["status"] == "done"


def test_an_unknown_address_is_answered(client: Client) -> None:
    assert "/dcldm/generate" in client.ask("/dcldm/nothing")["error"]


def test_what_is_not_osc_is_answered(client: Client) -> None:
    client.socket.send(b"hello")
    assert client.next() == ("/reply", {"id": "", "status": "error", "error": client_complaint()})


def client_complaint() -> str:
    return "This is not an OSC packet; send OSC 1.0 messages or bundles."


def test_an_answer_is_never_answered(client: Client) -> None:
    client.send("/reply/dcldm/ping", "x")
    assert client.ask("/dcldm/ping")["status"] == "ok"


def test_a_host_is_heard_and_gets_news(client: Client, notebook: Notebook) -> None:
    client.send("/dcldm/hello", "notebook", "song", 44_100.0)
    client.send("/dcldm/placed", "notebook", "job-1", "clip", "item 7", "Track", 12_345_678_901)
    client.send("/dcldm/failed", "notebook", "job-1", "No room.")
    assert client.ask("/dcldm/hello", "nobody")["status"] == "error"
    assert notebook.words == [
        Hello("song", 44_100),
        Placed("job-1", "clip", "item 7", "Track", 12_345_678_901),
        PlacingFailed("job-1", "No room."),
    ]
    client.send("/dcldm/generate", "job-1", "rain", 0.5, 1, "", "", "notebook", "Track", 5, 48_000, "song")
    client.until_over("job-1")
    assert client.ask("/dcldm/generate", "job-2", "rain", 1e6, 1, "", "", "notebook")["status"] == "error"
    statuses = [news.status for news in notebook.news]
    assert statuses[0] == "accepted" and statuses[-2:] == ["done", "error"] and "progress" in statuses
    assert {news.project for news in notebook.news[:-1]} == {"song"}


def test_replies_stay_below_what_every_system_carries(client: Client) -> None:
    client.send("/dcldm/generate", "job-1", "r" * 900, 0.1, 32)
    done = client.until_over("job-1")[-1]
    assert done["status"] == "done"
    assert len(json.dumps(done)) < 9000


def test_reading_arguments() -> None:
    [generate] = [row.arguments for row in TABLE if row.address == "/dcldm/generate"]
    values = read(generate, ["a", "rain", None, "", None])
    assert values["seconds"] == 10.0 and values["variations"] == 1 and values["seed"] is None
    with pytest.raises(InvalidInput, match="whole number"):
        read(generate, ["a", "rain", 1, math.inf])


def test_many_clients_at_once(port: int) -> None:
    failures = []

    def ask(number: int) -> None:
        client = Client(port)
        client.send("/dcldm/generate", f"job-{number}", "rain", 0.2)
        if client.until_over(f"job-{number}")[-1]["status"] != "done":
            failures.append(number)
        client.socket.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def ask_until_over(client: Client, address: str, *arguments: str | float | None) -> dict[str, Any]:
    """The last reply about the job that the first argument names."""
    client.send(address, *arguments)
    while True:
        answered, reply = client.next()
        assert answered == f"/reply{address}"
        if reply["status"] not in {"accepted", "progress", "clip"}:
            return reply


def test_a_clip_is_made_again_from_its_file(client: Client, tmp_path: Path) -> None:
    first = ask_until_over(client, "/dcldm/generate", "job-1", "rain", 0.5, 1, 7)["clips"][0]
    moved = tmp_path / "of last year.wav"
    moved.write_bytes(Path(first["path"]).read_bytes())
    second = ask_until_over(client, "/dcldm/again", "job-2", str(moved), "", "notebook", "Track", 9)
    assert clip_at(Path(second["clips"][0]["path"])).sha256 == clip_at(moved).sha256
    assert second["placements"][0]["position"] == 9


def test_clips_are_placed_again_and_another_one_is_chosen(client: Client, notebook: Notebook) -> None:
    place = ("notebook", "Track", 5, 48_000, "song")
    done = ask_until_over(client, "/dcldm/generate", "job-1", "rain", 0.5, 2, 7, "", *place)
    assert ask_until_over(client, "/dcldm/place", "job-1") == done
    assert client.ask("/dcldm/choose", "job-1", 1)["status"] == "accepted"
    assert notebook.chosen == [done["clips"][1]["id"]]
    assert "has 0 to 1" in client.ask("/dcldm/choose", "job-1", 2)["error"]
    assert "no job" in client.ask("/dcldm/place", "nothing")["error"]
    ask_until_over(client, "/dcldm/generate", "job-2", "rain", 0.5)
    assert "no place on a timeline" in client.ask("/dcldm/place", "job-2")["error"]
    assert "on no timeline" in client.ask("/dcldm/choose", "job-2", 0)["error"]


def test_without_an_id_and_a_place_it_is_a_new_job_where_the_user_is(client: Client, notebook: Notebook) -> None:
    """As QLab and TouchOSC send: always the same message."""
    notebook.session = Hello("song", 44_100, track="FX", position=777)
    ids = set()
    for _ in range(2):
        client.send("/dcldm/generate", "", "rain", 0.2, 1, None, None, "notebook")
        _, accepted = client.next()
        client.until_over(accepted["id"])
        ids.add(accepted["id"])
    assert len(ids) == 2
    assert notebook.targets == [TimelineTarget("notebook", "song", "FX", 777, 44_100)] * 2
    notebook.session = Hello("song", 44_100, track="FX", position=777, item="slot 1 2")
    client.send("/dcldm/generate", "", "rain", 0.2, 1, None, None, "notebook", "Other")
    client.until_over(client.next()[1]["id"])
    assert notebook.targets[-1] == TimelineTarget("notebook", "song", "Other", 777, 44_100, "slot 1 2")


def test_buttons_act_on_what_is_selected(client: Client, notebook: Notebook) -> None:
    refused = client.ask("/dcldm/selected/regenerate", 1.0)
    assert refused["error"].startswith("Nothing is selected there; select a clip of ours in a DAW")
    first = ask_until_over(client, "/dcldm/generate", "job-1", "rain", 0.2, 1, 7)["clips"][0]
    notebook.session = Hello("song", 44_100, track="FX", position=777, item="item 7", file=first["path"])
    client.send("/dcldm/selected/regenerate", 0.0)  # the release of a button
    for kind in ("regenerate", "again"):
        done = ask_until_over(client, f"/dcldm/selected/{kind}", 1.0)
        made = clip_at(Path(done["clips"][0]["path"]))
        assert made.prompt.text == "rain" and (made.sha256 == clip_at(Path(first["path"])).sha256) == (kind == "again")
    assert notebook.targets == [TimelineTarget("notebook", "song", "FX", 777, 44_100, "item 7")] * 2
    for kind in ("retexture", "more"):
        assert f"does not have the control '{kind}'" in client.ask(f"/dcldm/selected/{kind}", 1, 2, "notebook")["error"]
    notebook.session = replace(notebook.session, file=str(README))
    assert client.ask("/dcldm/selected/again", True)["status"] == "error"


def test_clips_go_into_the_project_and_elsewhere_if_that_fails(
    client: Client, notebook: Notebook, tmp_path: Path
) -> None:
    place = ("notebook", "Track", 5, 48_000, "song")
    notebook.media = tmp_path / "song" / "audio"
    (inside,) = ask_until_over(client, "/dcldm/generate", "job-1", "rain", 0.5, 1, 7, "", *place)["clips"]
    assert Path(inside["path"]).parent == notebook.media
    notebook.media = tmp_path / "a file"
    notebook.media.touch()
    (outside,) = ask_until_over(client, "/dcldm/generate", "job-2", "rain", 0.5, 1, 7, "", *place)["clips"]
    assert Path(outside["path"]).is_relative_to(tmp_path / "library")


def test_a_cue_sheet_is_checked_and_then_spotted(client: Client, notebook: Notebook, tmp_path: Path) -> None:
    sheet = tmp_path / "reel.csv"
    sheet.write_text("tc,what,description,dur\n00:00:01:12,x,rain,0.2\nsoon,x,wind,0.2\n00:00:02:00,x,fire,0.2\n")
    looked = client.ask("/dcldm/cues/check", "reel", str(sheet), "notebook", "song", 48_000, "24", "", "Foley")
    assert (looked["status"], looked["cues"], looked["clips"]) == ("ok", 2, 2)
    assert looked["rows"][0] == {
        "row": 2, "time": "00:00:01:12", "seconds": 0.2, "variations": 1, "track": "Foley", "prompt": "rain",
    }  # fmt: skip
    assert [error["row"] for error in looked["errors"]] == [3]
    assert notebook.news[-1].status == "preview" and "00:00:01:12 rain" in notebook.news[-1].text.replace("  ", " ")
    done = ask_until_over(client, "/dcldm/cues", "reel")
    assert (done["status"], done["cues"], done["done"]) == ("done", 2, 2)
    assert notebook.news[-1].status == "done"
    assert client.ask("/dcldm/status", "reel")["status"] == "done"
    assert ask_until_over(client, "/dcldm/cues", "reel")["status"] == "done"  # by now a run of an earlier time


def test_what_is_wrong_with_a_cue_sheet_is_said(client: Client, tmp_path: Path) -> None:
    sheet = tmp_path / "reel.csv"
    sheet.write_text("time,prompt,length\n1,rain,0.2\nsoon,wind,0.2\n")
    place = ("notebook", "song", 48_000)
    for arguments, words in (
        ((str(sheet), *place), "Row 3 of reel.csv can't be done"),
        ((str(tmp_path / "gone.csv"),), "not there"),
        ((str(sheet), "nobody"), "no host 'nobody'"),
        ((str(sheet), *place, "26"), "not a frame rate"),
        ((), "no run 'reel'"),
    ):
        reply = client.ask("/dcldm/cues", "reel", *arguments)
        assert reply["status"] == "error" and words in reply["error"], reply
    assert client.ask("/dcldm/status")["jobs"] == []


def test_a_run_is_cancelled_by_its_id(client: Client, tmp_path: Path) -> None:
    sheet = tmp_path / "reel.csv"
    sheet.write_text("time,prompt,length,variations\n1,slow rain,0.5,32\n")
    assert client.ask("/dcldm/cues", "reel", str(sheet), "notebook", "song", 48_000)["status"] == "accepted"
    client.send("/dcldm/cancel", "reel")
    statuses = set()
    while "cancelled" not in statuses:
        statuses.add(client.next()[1]["status"])
    assert client.ask("/dcldm/status", "reel")["status"] == "cancelled"
