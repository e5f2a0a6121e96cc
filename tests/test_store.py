"""The store of public weights, against a hub on this machine."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.hub import Hub
from dcldm_plugin.sources import MODELS, PARTS
from dcldm_plugin.store import Store, find

MAIN = "pytorch_model_main.bin"
BLOCK_BYTES = 10 << 20  # huggingface_hub writes what it gets in blocks of this size


@pytest.fixture
def store(tmp_path: Path, hub: Any) -> Store:
    return Store(tmp_path / "models", Hub(hub.address))


def install(store: Store, name: str) -> list[str]:
    lines: list[str] = []
    store.install(name, lines.append)
    return lines


def on_disk(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {".lock"}


def test_the_table_is_whole() -> None:
    for name, model in MODELS.items():
        assert name == model.info.name and model.info.title and model.info.licence
        assert set(model.parts) <= PARTS.keys()
        assert model.info.commercial_use == all(PARTS[part].commercial_use for part in model.parts)
    for part in PARTS.values():
        assert part.repository.count("/") == 1 or part.single_file
        assert part.licence and all(".." not in name and not name.startswith("/") for name in part.names)
    assert MODELS["dc-ldm-ag-down-up"].parts == (
        "tango",
        "flan-t5-large",
        "audiogen-medium",
        "t5-large",
        "dc-ldm-ag-down-up",
    )


def test_from_nothing_to_installed_and_offline_and_back(store: Store, hub: Any) -> None:
    tango = find("tango")
    assert not store.installed(tango) and store.size_bytes(tango) > 5e9
    with pytest.raises(DcldmError, match="models install tango"):
        store.paths("tango")

    lines = install(store, "tango")
    assert any("CC-BY-NC-SA-4.0" in line and "declare-lab/tango" in line for line in lines)
    assert store.installed(tango)
    asked = {name for name, _ in hub.ranges}
    assert "README.md" not in asked and "flax_model.msgpack" not in asked

    hub.close()
    store = Store(store.folder)  # another start, without that hub
    paths = store.paths("tango")
    assert (paths["tango"] / MAIN).read_bytes() == hub.files["declare-lab/tango"][MAIN]
    manifest = store.manifest("tango")
    assert manifest is not None and manifest.licence_there == "cc-by-nc-sa-4.0"
    assert manifest.licence == PARTS["tango"].licence and manifest.wanted_by == ("tango",)
    assert store.present_bytes(tango) == sum(store.manifest(part).size_bytes for part in tango.parts) + sum(
        (store.folder / part / "manifest.json").stat().st_size for part in tango.parts
    )
    assert manifest.source == f"{hub.address}/declare-lab/tango" and len(manifest.revision) == 40
    assert all("as it should be" in line for line in install(store, "tango"))  # asks nobody

    size = sum(path.stat().st_size for path in store.folder.rglob("*") if path.is_file())
    assert store.remove("tango") == size
    assert on_disk(store.folder) == set()
    with pytest.raises(InvalidInput, match="not installed"):
        store.remove("tango")


def test_models_share_parts(store: Store, hub: Any) -> None:
    install(store, "tango")
    lines = install(store, "dc-ldm-ag-down-up")
    assert any("train" in line for line in lines)  # the adapter is nobody's to download
    assert [name for name, _ in hub.ranges].count(MAIN) == 1
    assert not store.installed(find("dc-ldm-ag-down-up")) and store.installed(find("tango-bridge"))

    with pytest.raises(InvalidInput, match="those of dc-ldm-ag-down-up"):
        store.remove("audiogen-medium")
    store.remove("dc-ldm-ag-down-up")
    assert store.installed(find("tango"))
    assert {path.name for path in store.folder.iterdir()} == {"tango", "flan-t5-large", ".lock"}
    store.remove("tango")
    assert on_disk(store.folder) == set()


def test_folders_of_diffusers_keep_their_shape(store: Store) -> None:
    install(store, "audioldm")
    assert "audioldm/unet/diffusion_pytorch_model.safetensors" in on_disk(store.folder)
    assert not any(name.endswith(".bin") for name in on_disk(store.folder))
    store.remove("audioldm")
    assert not (store.folder / "audioldm").exists()


def test_pickles_serve_where_there_are_no_safetensors(store: Store, hub: Any) -> None:
    files = hub.files["cvssp/audioldm"]
    files["vocoder/pytorch_model.bin"] = files.pop("vocoder/model.safetensors")
    install(store, "audioldm")
    assert "audioldm/vocoder/pytorch_model.bin" in on_disk(store.folder)


def test_a_connection_that_breaks_is_taken_up_again(store: Store, hub: Any) -> None:
    hub.files["declare-lab/tango"][MAIN] = content = random.Random(1).randbytes(BLOCK_BYTES + 3_000_000)
    hub.break_after = BLOCK_BYTES + 1_000_000
    hub.go_on.set()
    install(store, "tango")
    assert (store.paths("tango")["tango"] / MAIN).read_bytes() == content
    assert [first for name, first in hub.ranges if name == MAIN] == [0, BLOCK_BYTES]


STABLE = "stable-audio-open-1.0"


def test_what_is_behind_a_licence_is_opened_by_the_user_s_token(store: Store, hub: Any) -> None:
    repository = PARTS[STABLE].repository
    hub.gated[repository], hub.tokens = {"accepted"}, {"accepted", "another"}
    assert [part.name for part in store.locked(find(STABLE))] == [STABLE]
    store.hub.token = "invented"
    with pytest.raises(DcldmError, match=rf"refuses the token that was given.* {hub.address}/settings/tokens"):
        install(store, STABLE)
    store.hub.token = "another"
    with pytest.raises(DcldmError, match=rf"has not accepted the licence of {hub.address}/{repository}"):
        install(store, STABLE)
    store.hub.token = "accepted"
    lines = install(store, STABLE)
    assert store.installed(find(STABLE)) and store.locked(find(STABLE)) == []
    assert any("Stability AI Community License" in line and "US$1M" in line for line in lines)
    written = b"".join(path.read_bytes() for path in store.folder.rglob("*") if path.is_file())
    assert b"accepted" not in written  # a token is kept nowhere


def test_what_an_earlier_attempt_left_is_not_fetched_again(store: Store, hub: Any) -> None:
    broken = hub.files["google/flan-t5-large"].pop("config.json")
    with pytest.raises(DcldmError, match=r"no config\.json"):
        install(store, "tango")  # before anything is downloaded
    assert hub.ranges == []
    hub.files["google/flan-t5-large"]["config.json"] = broken
    hub.refusals["google/flan-t5-large"] = (503, "")
    with pytest.raises(DcldmError, match="503"):
        install(store, "tango")
    del hub.refusals["google/flan-t5-large"]
    hub.ranges.clear()
    install(store, "tango")
    assert {name for name, _ in hub.ranges} == {"config.json", "tokenizer.json"}


def test_a_newer_revision_leaves_no_rest_of_the_older(store: Store, hub: Any) -> None:
    staging = store.folder / "tango.part"
    staging.mkdir(parents=True)
    (staging / f"{MAIN}.0123456789ab.part").write_bytes(b"half of an older one")
    (staging / MAIN).write_bytes(b"an older one")
    install(store, "tango")
    assert {name for name in on_disk(store.folder) if name.startswith("tango/")} == {
        f"tango/{name}" for name in (*PARTS["tango"].required, "manifest.json")
    }
    assert (store.folder / "tango" / MAIN).read_bytes() == hub.files["declare-lab/tango"][MAIN]


@pytest.mark.parametrize("name", [MAIN, "main_config.json"])
def test_a_swapped_file_is_refused(store: Store, hub: Any, name: str) -> None:
    content = hub.files["declare-lab/tango"][name]
    hub.declared[name] = {"sha256": "0" * 64}
    with pytest.raises(DcldmError, match="not the file"):
        install(store, "tango")
    assert not store.installed(find("tango")) and not list(store.folder.rglob(f"{name}*"))
    del hub.declared[name]
    install(store, "tango")
    assert (store.paths("tango")["tango"] / name).read_bytes() == content


def test_a_small_file_that_is_swapped_on_the_way_is_refused(store: Store, hub: Any) -> None:
    files = hub.files["google/flan-t5-large"]
    listing = hub.listing("google/flan-t5-large")
    hub.listing = lambda repository, true=hub.listing: listing if "flan" in repository else true(repository)
    files["config.json"] = files["config.json"].replace(b"flan", b"evil")
    with pytest.raises(DcldmError, match="not the file"):
        install(store, "tango")


def test_a_file_that_is_too_short_is_refused(store: Store, hub: Any) -> None:
    hub.declared[MAIN] = {"size": 100_000}
    with pytest.raises(DcldmError, match="too short"):
        install(store, "tango")
    assert not store.installed(find("tango"))


def test_a_disk_without_room_is_told_before_the_download(store: Store, hub: Any) -> None:
    hub.declared[MAIN] = {"size": 10**18}
    with pytest.raises(DcldmError, match="is full"):
        install(store, "tango")
    assert hub.ranges == []


@pytest.mark.parametrize(("status", "code"), [(401, "GatedRepo"), (403, "GatedRepo"), (401, ""), (403, "")])
def test_a_gate_is_told_with_its_page(store: Store, hub: Any, status: int, code: str) -> None:
    hub.refusals["declare-lab/tango"] = (status, code)
    with pytest.raises(DcldmError, match=rf"{hub.address}/declare-lab/tango .*(accept|not for everyone)"):
        install(store, "tango")


def test_a_repository_that_is_gone_is_told(store: Store, hub: Any) -> None:
    del hub.files["declare-lab/tango"]
    with pytest.raises(DcldmError, match=r"is not there.*--from"):
        install(store, "tango")


@pytest.mark.parametrize("answer", [b"<html>Please log in to the hotel's network</html>", b"[]", b'{"siblings": 5}'])
def test_an_answer_of_something_else_is_told(store: Store, hub: Any, answer: bytes) -> None:
    hub.answer = answer
    with pytest.raises(DcldmError, match="HF_ENDPOINT"):
        install(store, "tango")


def test_no_network_is_told(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        store = Store(tmp_path, Hub(f"http://127.0.0.1:{nobody.getsockname()[1]}"))
        with pytest.raises(DcldmError, match="can't be reached"):
            install(store, "tango")


def test_damage_after_the_installation_is_found_and_mended(store: Store, hub: Any) -> None:
    install(store, "tango")
    path = store.folder / "tango" / MAIN
    path.write_bytes(path.read_bytes()[:-1])
    assert not store.installed(find("tango"))  # seen by its size alone
    with pytest.raises(DcldmError, match="not whole"):
        store.paths("tango")
    hub.ranges.clear()
    assert any("damaged" in line for line in install(store, "tango"))
    path.write_bytes(path.read_bytes()[:-1] + b"!")  # only its hash tells
    assert any("damaged" in line for line in install(store, "tango"))
    assert [name for name, _ in hub.ranges] == [MAIN, MAIN]
    assert path.read_bytes() == hub.files["declare-lab/tango"][MAIN]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"files": {}}', json.dumps({"files": {"../../x": {"size_bytes": 1, "sha256": ""}}})]
)
def test_a_manifest_that_is_none_counts_as_nothing(store: Store, text: str) -> None:
    install(store, "tango")
    (store.folder / "tango" / "manifest.json").write_text(text)
    assert not store.installed(find("tango"))
    install(store, "tango")
    assert store.installed(find("tango"))
    (store.folder / "tango" / "manifest.json").write_text(text)
    store.remove("tango")
    assert on_disk(store.folder) == set()


def test_files_of_others_stay(store: Store) -> None:
    install(store, "tango")
    (store.folder / "tango" / "notes.txt").write_text("mine")
    store.remove("tango")
    assert on_disk(store.folder) == {"tango/notes.txt"}


def test_only_one_at_a_time(store: Store) -> None:
    store.folder.mkdir()
    holder = "import sys; from filelock import FileLock\nwith FileLock(sys.argv[1]): print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(store.folder / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None and other.stdin is not None and other.stdout.readline()
        with pytest.raises(DcldmError, match="Another dcldm"):
            install(store, "tango")
        other.stdin.write("\n")
    with FileLock(store.folder / ".lock", timeout=0):
        pass


def test_unknown_names_are_refused(store: Store) -> None:
    with pytest.raises(InvalidInput, match="'tangoo'"):
        install(store, "tangoo")
    with pytest.raises(InvalidInput, match="'tangoo'"):
        store.remove("tangoo")


# From what is on this machine


def adapter(path: Path, value: int = 0) -> Path:
    header = json.dumps({"acoustic": {"dtype": "U8", "shape": [16], "data_offsets": [0, 16]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes([value]) * 16)
    return path


def test_an_adapter_of_ones_own_is_installed_and_replaced(store: Store, hub: Any, tmp_path: Path) -> None:
    install(store, "dc-ldm-ag-mid")
    file = adapter(tmp_path / "step-1000.safetensors")
    store.install_from("dc-ldm-ag-mid", file, lambda line: None)
    kept = store.paths("dc-ldm-ag-mid")["dc-ldm-ag-mid"] / "adapter.safetensors"
    assert kept.read_bytes() == file.read_bytes()
    adapter(file, 1)
    store.install_from("dc-ldm-ag-mid", file, lambda line: None)
    assert kept.read_bytes() == file.read_bytes()
    store.remove("dc-ldm-ag-mid")
    assert on_disk(store.folder) == set() and file.exists()


def folder_of(hub: Any, part: str, parent: Path) -> Path:
    for name, content in hub.files[PARTS[part].repository].items():
        path = parent / part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return parent / part


def test_a_folder_of_parts_needs_no_hub(store: Store, hub: Any, tmp_path: Path) -> None:
    local = tmp_path / "local"
    for part in ("tango", "flan-t5-large"):
        folder_of(hub, part, local)
    store.install_from("tango", local, lambda line: None)
    assert store.installed(find("tango")) and hub.ranges == []
    assert "tango/README.md" not in on_disk(store.folder)


def test_one_part_may_come_from_a_folder_and_the_rest_from_the_hub(store: Store, hub: Any, tmp_path: Path) -> None:
    store.install_from("tango", folder_of(hub, "tango", tmp_path), lambda line: None)
    assert not store.installed(find("tango"))
    install(store, "tango")
    assert {name for name, _ in hub.ranges} == {"config.json", "tokenizer.json"}


def test_a_folder_that_could_be_two_parts_is_not_guessed(store: Store, hub: Any, tmp_path: Path) -> None:
    t5 = folder_of(hub, "t5-large", tmp_path)
    with pytest.raises(InvalidInput, match="flan-t5-large or t5-large"):
        store.install_from("tango-bridge", t5.rename(tmp_path / "some-t5"), lambda line: None)
    store.install_from("tango-bridge", folder_of(hub, "t5-large", tmp_path), lambda line: None)
    assert store.manifest("t5-large") and not store.manifest("flan-t5-large")


def test_a_checkpoint_of_audioldm_stands_for_its_folder(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "audioldm-s-full.ckpt"
    with zipfile.ZipFile(file, "w") as archive:  # as torch writes it
        archive.writestr("archive/data.pkl", b"weights")
    store.install_from("audioldm", file, lambda line: None)
    assert on_disk(store.paths("audioldm")["audioldm"]) == {"audioldm.ckpt", "manifest.json"}


@pytest.mark.parametrize("kind", ["zip", "safetensors", "long safetensors", "header", "empty"])
def test_local_files_that_are_cut_short_are_refused(store: Store, tmp_path: Path, kind: str) -> None:
    name = "audioldm"
    file = tmp_path / "weights.ckpt"
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("data.pkl", bytes(1000))
        file.write_bytes(file.read_bytes()[:-50])
    elif kind == "empty":
        file.touch()
    else:
        name, file = "dc-ldm-ag-up", adapter(tmp_path / "weights.safetensors")
        content = file.read_bytes()
        changed = {"safetensors": content[:-1], "long safetensors": content + b"0", "header": b"\xff" * 8 + content}
        file.write_bytes(changed[kind])
    with pytest.raises(DcldmError, match="cut short"):
        store.install_from(name, file, lambda line: None)
    assert on_disk(store.folder) == set()


def test_what_holds_no_part_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not there"):
        store.install_from("tango", tmp_path / "nothing", lambda line: None)
    with pytest.raises(InvalidInput, match=f"no part of tango.*{MAIN}"):
        store.install_from("tango", tmp_path, lambda line: None)
    with pytest.raises(InvalidInput, match="no part of tango"):
        store.install_from("tango", adapter(tmp_path / "x.safetensors"), lambda line: None)
