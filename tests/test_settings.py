from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.settings import (
    Settings,
    home_folder,
    instance_runs,
    load,
    only_instance,
    save,
    writable_folder,
)

HOLD = """
import sys, pathlib
from dcldm_plugin.settings import load, only_instance
with only_instance(load(pathlib.Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


def written(home: Path, text: str) -> Path:
    home.mkdir(exist_ok=True)
    (home / "settings.toml").write_text(text, encoding="utf-8")
    return home


@contextmanager
def another_instance(home: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_without_a_file_there_are_defaults_below_the_home(tmp_path: Path) -> None:
    settings = load(tmp_path / "new")
    assert settings == Settings.at(tmp_path / "new")
    assert settings.index == tmp_path / "new" / "library" / "index.sqlite"
    assert (settings.model, settings.osc_port, settings.idle_seconds) == ("builtin", 8710, 300.0)
    assert not (tmp_path / "new").exists()  # reading settings makes nothing


def test_the_home_comes_from_the_argument_then_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCLDM_HOME", str(tmp_path / "named"))
    assert home_folder() == tmp_path / "named"
    assert home_folder(tmp_path / "given") == tmp_path / "given"
    monkeypatch.delenv("DCLDM_HOME")
    assert home_folder().is_absolute() and home_folder().name == "dcldm"
    monkeypatch.chdir(tmp_path)
    assert home_folder(Path("here")) == tmp_path / "here"


def test_a_file_sets_fields(tmp_path: Path) -> None:
    text = 'library_folder = "sounds"\nosc_port = 9000\nidle_seconds = 60\nmodel = "tone"\n'
    settings = load(written(tmp_path, text))
    assert settings.library_folder == tmp_path / "sounds"
    assert settings.index == tmp_path / "sounds" / "index.sqlite"
    assert (settings.model, settings.osc_port, settings.idle_seconds) == ("tone", 9000, 60.0)
    assert settings.watch_folder == tmp_path / "inbox"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("osc_prot = 1", "osc_prot"),
        ('home = "/tmp"', "home"),
        ('osc_port = "8710"', "osc_port"),
        ("osc_port = true", "osc_port"),
        ("osc_port = 80", "osc_port"),
        ("osc_port = 65536", "osc_port"),
        ("idle_seconds = nan", "idle_seconds"),
        ("idle_seconds = 0", "idle_seconds"),
        ('idle_seconds = "long"', "idle_seconds"),
        ("library_folder = 5", "library_folder"),
        ('library_folder = ""', "library_folder"),
        ('library_folder = "a\\u0000b"', "library_folder"),
        ('library_folder = "~nobody-of-that-name/x"', "library_folder"),
        ("model = 3", "model"),
        ('model = ""', "model"),
        ("[model]", "model"),
    ],
)
def test_a_wrong_key_is_named_in_a_sentence(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(InvalidInput, match=rf"'{key}'.*\.$"):
        load(written(tmp_path, text))


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not valid TOML"):
        load(written(tmp_path, "model = "))
    (tmp_path / "settings.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="not valid TOML"):
        load(tmp_path)


def test_settings_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").mkdir()
    with pytest.raises(DcldmError, match="can't be read"):
        load(tmp_path)


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    folder = writable_folder(tmp_path / "a" / "b", needed_bytes=1)
    assert folder.is_dir() and not list(folder.iterdir())


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DcldmError, match="choose another one"):
            writable_folder(folder)


def test_a_disk_without_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DcldmError, match="is full"):
        writable_folder(tmp_path, needed_bytes=2**62)


def test_a_second_instance_is_told_what_to_do(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert not instance_runs(settings)
    with another_instance(tmp_path):
        assert instance_runs(settings)
        with pytest.raises(DcldmError, match=r"already runs.*--home"), only_instance(settings):
            pass
    assert not instance_runs(settings)
    with only_instance(settings):  # the other was killed: its lock went with it
        assert instance_runs(settings)
    assert not instance_runs(settings)


def test_two_homes_are_two_instances(tmp_path: Path) -> None:
    with only_instance(load(tmp_path / "one")), only_instance(load(tmp_path / "two")):
        pass


def test_saving_changes_its_lines_and_no_others(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('# mine\nmodel = "tone"  # quick\nosc_port = 9000\n')
    saved = save(tmp_path, {"osc_port": 9001, "library_folder": 'a "quoted" ünïcode'})
    assert saved == load(tmp_path)
    assert saved.osc_port == 9001 and saved.library_folder == tmp_path / 'a "quoted" ünïcode'
    assert file.read_text(encoding="utf-8").startswith('# mine\nmodel = "tone"  # quick\nosc_port = 9001\n')


def test_what_cannot_be_saved_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('model = """\nosc_port = 1\ntone"""\n')
    before = file.read_text()
    for changes in ({"osc_port": 80}, {"osc_port": 9000}):
        with pytest.raises(InvalidInput):
            save(tmp_path, changes)
    assert file.read_text() == before
