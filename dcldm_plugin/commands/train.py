"""`dcldm train`: teach one part of a model, in a process of its own, which may load what it needs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dcldm_plugin.commands import Parser
from dcldm_plugin.engine.child import worker_environment
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.settings import load

RUN = "dcldm_plugin.training.run"


def main(arguments: Sequence[str]) -> int:
    """Run the training, which prints what it does, and return its exit code."""
    parser = Parser("train", "Teach a part of a model your sounds; the same command goes on where it was stopped.")
    parser.add_argument("config", type=Path, metavar="CONFIG.toml", help="what to learn, from what, and how")
    parser.add_argument("--check", action="store_true", help="print the whole configuration, and learn nothing")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="GPUs to share the work (default: 1)")
    options = parser.parse_args(arguments)
    if not 1 <= options.processes <= 64:
        raise InvalidInput("--processes must be from 1 to 64.")
    if not options.config.is_file():
        raise InvalidInput(f"There is no file {options.config}; name the configuration of a training run.")
    settings = load(options.home)
    command = [sys.executable, "-P"]
    if options.processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(options.processes)]
    command += ["-m", RUN, str(options.config), "--home", str(settings.home)]
    if options.check:
        command.append("--check")
    return _follow(command)


def _follow(command: list[str]) -> int:
    """Ctrl-C reaches the run as well as us: wait until it has saved."""
    try:
        process = subprocess.Popen(command, env=worker_environment())
    except OSError as error:
        raise DcldmError(f"Training cannot be started ({error.strerror or error}); install the app again.") from error
    while True:
        with suppress(KeyboardInterrupt):
            return process.wait()
