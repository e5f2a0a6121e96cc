"""What a user installs: the built wheel holds everything that is not Python as well."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_has_weights_scripts_and_licences(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        env=os.environ | {"PYTHONWARNINGS": "default"},
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for name in (
        "bridge/scripts/ardour/dcldm_generate.lua",
        "bridge/scripts/ardour/dcldm_watch.lua",
        "bridge/scripts/reaper/dcldm_place.lua",
        "bridge/scripts/reaper/dcldm.ReaperOSC",
        "bridge/scripts/live/surface.py",
        "dcldm_plugin/builtin/config.json",
        "dcldm_plugin/builtin/denoiser.safetensors",
        "dcldm_plugin/builtin/ATTRIBUTION.md",
        "dcldm_plugin/builtin/MODEL_CARD.md",
        "ui/__init__.py",
    ):
        assert name in names
    assert not [name for name in names if name.startswith("tests/")]
    assert wheel.stat().st_size < 60e6
