from __future__ import annotations

import base64
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bridge import install, ui_scripts
from bridge.host import HostError
from dcldm_plugin.__main__ import main

PORT = 8710
# What Ardour 7.3 itself writes when a user has bound an action and a hook.
FOREIGN_ACTION = (
    b'scripts = {} scripts[1] = {} scripts[1]["n"] = "Mine \\"scripts[2][\\"n\\"] = 1" '
    b'scripts[1]["f"] = "\\27Lua\\\n\\0" scripts[1]["s"] = "ardour {}" scripts[1]["c"] = true  '
    b'scripts[1]["a"] = {} scripts[1]["a"]["x"] = "1"   '
)
FOREIGN = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<UIScripts>\n  <ActionScript lua="Lua 5.3">'
    + base64.b64encode(FOREIGN_ACTION)
    + b"</ActionScript>\n  <ActionHooks>\n    "
    + b'<LuaCallback lua="Lua 5.3" id="77" name="Theirs" signals="01">eA==</LuaCallback>'
    + b"\n  </ActionHooks>\n</UIScripts>\n"
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / "ardour7"
    folder.mkdir()
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def action_text(config: Path) -> bytes:
    node = ElementTree.parse(config / "ui_scripts").getroot().find("ActionScript")
    assert node is not None and node.text is not None
    return base64.b64decode(node.text)


def hook_names(config: Path) -> list[str]:
    return [one.attrib["name"] for one in ElementTree.parse(config / "ui_scripts").getroot().iter("LuaCallback")]


def test_install_writes_scripts_and_binds_them(config: Path, tmp_path: Path) -> None:
    record = install.install(config, tmp_path / "spool", PORT)
    assert (config / "scripts" / "dcldm.conf").read_text() == f"spool={tmp_path / 'spool'}\nport={PORT}\n"
    assert (config / "scripts" / "dcldm_generate.lua").read_text() == install.script("dcldm_generate.lua")
    assert record.slots == [1, 2, 3]
    assert b'scripts[1]["n"] = "DC-LDM: Generate from prompt"' in action_text(config)
    assert hook_names(config) == ["DC-LDM: Clips and news"]
    [hook] = ElementTree.parse(config / "ui_scripts").getroot().iter("LuaCallback")
    assert len(hook.attrib["signals"]) == 49 and hook.attrib["signals"].index("1") == 1


def test_what_is_in_place_is_left_alone_and_what_is_not_is_put_there_again(config: Path, tmp_path: Path) -> None:
    path = config / "ui_scripts"
    record = install.install(config, tmp_path / "spool", PORT)
    rewritten = path.read_bytes().replace(b"<ActionHooks>", b"<ActionHooks >")  # as Ardour would, in its own way
    path.write_bytes(rewritten)
    assert install.install(config, tmp_path / "spool", PORT) == record and path.read_bytes() == rewritten
    names = {install.script_name(install.script(name)) for name in install.ACTIONS}
    path.write_bytes(ui_scripts.remove(rewritten, names, "Another"))  # the user unbound the actions
    install.install(config, tmp_path / "spool", PORT)
    assert b'scripts[1]["n"] = "DC-LDM: Generate from prompt"' in action_text(config)
    assert hook_names(config) == ["DC-LDM: Clips and news"]


@pytest.mark.parametrize("there", [None, FOREIGN])
def test_uninstall_leaves_exactly_what_was_there(config: Path, tmp_path: Path, there: bytes | None) -> None:
    (config / "scripts").mkdir()
    (config / "scripts" / "theirs.lua").write_text("--")
    if there is not None:
        (config / "ui_scripts").write_bytes(there)
    before = tree(config)
    install.install(config, tmp_path / "spool", PORT)
    install.install(config, tmp_path / "spool", PORT + 1)  # again is an update
    assert tree(config) != before
    assert install.uninstall(config) == []
    assert tree(config) == before


def test_what_the_user_has_bound_stays(config: Path, tmp_path: Path) -> None:
    (config / "ui_scripts").write_bytes(FOREIGN)
    record = install.install(config, tmp_path / "spool", PORT)
    assert record.slots == [2, 3, 4]
    assert action_text(config).startswith(FOREIGN_ACTION)
    assert hook_names(config) == ["Theirs", "DC-LDM: Clips and news"]


def test_uninstall_after_ardour_rewrote_the_file_takes_ours_only(config: Path, tmp_path: Path) -> None:
    (config / "ui_scripts").write_bytes(FOREIGN)
    install.install(config, tmp_path / "spool", PORT)
    rewritten = (config / "ui_scripts").read_bytes() + b"<!-- written by Ardour -->\n"
    (config / "ui_scripts").write_bytes(rewritten)
    install.uninstall(config)
    assert action_text(config).split() == FOREIGN_ACTION.split()
    assert hook_names(config) == ["Theirs"]
    assert sorted(tree(config)) == ["ui_scripts"]


def test_a_foreign_file_is_not_overwritten(config: Path, tmp_path: Path) -> None:
    (config / "scripts").mkdir()
    (config / "scripts" / "dcldm_watch.lua").write_text("-- mine")
    with pytest.raises(HostError, match=r"dcldm_watch\.lua was written or changed by somebody else"):
        install.install(config, tmp_path / "spool", PORT)
    assert list(tree(config)) == ["scripts/dcldm_watch.lua"]


def test_a_changed_file_is_left_by_uninstall(config: Path, tmp_path: Path) -> None:
    install.install(config, tmp_path / "spool", PORT)
    changed = config / "scripts" / "dcldm_generate.lua"
    changed.write_text("-- mine now")
    assert install.uninstall(config) == [changed]
    assert list(tree(config)) == ["scripts/dcldm_generate.lua"]


def test_a_newer_version_is_not_overwritten(config: Path, tmp_path: Path) -> None:
    install.install(config, tmp_path / "spool", PORT)
    path = config / "scripts" / install.RECORD
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": "999.0"}))
    with pytest.raises(HostError, match=r"newer version 999\.0"):
        install.install(config, tmp_path / "spool", PORT)


def test_nothing_to_uninstall(config: Path) -> None:
    with pytest.raises(HostError, match="Nothing of ours"):
        install.uninstall(config)


@pytest.mark.parametrize(
    "text",
    [
        b"not XML",
        b"<Other/>",
        b"<UIScripts><ActionScript>%%%</ActionScript></UIScripts>",
        b"<UIScripts><ActionScript>" + base64.b64encode(b"os.execute('x')") + b"</ActionScript></UIScripts>",
    ],
)
def test_a_list_of_scripts_that_is_not_understood_is_left_alone(config: Path, tmp_path: Path, text: bytes) -> None:
    (config / "ui_scripts").write_bytes(text)
    with pytest.raises(HostError, match="left alone"):
        install.install(config, tmp_path / "spool", PORT)
    assert tree(config) == {"ui_scripts": text}


def test_all_slots_taken() -> None:
    text: bytes | None = None
    for number in range(ui_scripts.LAST_SLOT):
        text, slots = ui_scripts.add(text, [(f"action {number}", "x")], (f"hook {number}", "y"))
        assert slots == [number + 1]
    with pytest.raises(HostError, match="0 script slots left, and 1 are needed"):
        ui_scripts.add(text, [("one more", "x")], ("hook", "y"))


def test_another_version_of_ardour_gets_the_scripts_but_no_binding(tmp_path: Path) -> None:
    config = tmp_path / "ardour8"
    config.mkdir()
    assert install.install(config, tmp_path / "spool", PORT).slots == []
    assert not (config / "ui_scripts").exists()
    install.uninstall(config)
    assert tree(config) == {}


def test_the_command_line(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    arguments = ["ardour", "--config", str(config)]
    assert main(["install", *arguments, "--port", "9999", "--home", str(home)]) == 0
    assert "Edit, Lua Scripts" in capsys.readouterr().out
    assert "port=9999" in (config / "scripts" / "dcldm.conf").read_text()
    assert f"spool={(home / 'spool' / 'ardour').as_posix()}" in (config / "scripts" / "dcldm.conf").read_text()
    assert main(["uninstall", *arguments]) == 0
    assert tree(config) == {}


@pytest.mark.parametrize(
    "arguments",
    [["ardour", "--config", "nowhere"], ["logic"], ["ardour", "--port", "x"], ["ardour", "--port", "80"], []],
)
def test_bad_arguments(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if "--port" in arguments:
        (tmp_path / "ardour7").mkdir()
        arguments = [*arguments, "--config", str(tmp_path / "ardour7")]
    assert main(["install", *arguments, "--home", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
