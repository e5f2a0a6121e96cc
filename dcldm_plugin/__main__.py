"""The command `dcldm`: a table of names, each with the function that does the work.

Nothing is imported until a command is run, so that help is there at once and the ground floor needs no
import of the floors above it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from dcldm_plugin import __version__
from dcldm_plugin.errors import DcldmError, InvalidInput

# name: ("module:function", what it does). The function takes the arguments after the name and returns
# the exit code.
COMMANDS = {
    "window": ("ui.app:main", "open the window (also without any command)"),
    "generate": ("dcldm_plugin.commands.generate:main", "make sounds from a prompt"),
    "vary": ("dcldm_plugin.commands.vary:main", "make variations of a clip"),
    "show": ("dcldm_plugin.commands.show:main", "say how a clip was made, and what may be done with it"),
    "again": ("dcldm_plugin.commands.again:main", "make a clip once more from its own file"),
    "finish": ("dcldm_plugin.commands.finish:main", "finish a clip anew, without rendering it"),
    "pack": ("dcldm_plugin.commands.pack:main", "make a round-robin pack of clips, for Wwise, FMOD or a folder"),
    "ucs": ("dcldm_plugin.commands.ucs:main", "suggest a UCS category for some words"),
    "demo": ("dcldm_plugin.commands.demo:main", "show on one page what the controls do"),
    "models": ("dcldm_plugin.commands.models:main", "list the models that there are"),
    "evaluate": ("dcldm_plugin.evaluation.command:main", "say how good a model is, in numbers"),
    "compare": ("dcldm_plugin.evaluation.compare:main", "render prompts by several models, side by side on one page"),
    "train": ("dcldm_plugin.commands.train:main", "teach a model your own sounds"),
    "listen": ("dcldm_plugin.evaluation.listen:main", "rate sounds blind, several systems against each other"),
    "doctor": ("dcldm_plugin.commands.doctor:main", "say what works on this machine, and what to do"),
    "spot": ("bridge.spot:main", "make and place a sound for every row of a cue sheet"),
    "serve": ("bridge.serve:main", "listen to DAWs, without a window"),
    "install": ("bridge.install:install_main", "put our scripts into a DAW"),
    "uninstall": ("bridge.install:uninstall_main", "take our scripts out of a DAW"),
}
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells say it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except DcldmError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone. The interpreter flushes stdout once more at exit: let it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(arguments: list[str]) -> int:
    name, *rest = arguments or ["window"]
    if name in {"-h", "--help", "help"}:
        print(_help())
        return 0
    if name == "--version":
        print(f"dcldm {__version__}")
        return 0
    if name not in COMMANDS:
        raise InvalidInput(f"There is no command {name!r}; use one of: {', '.join(COMMANDS)}.")
    from importlib import import_module

    module, _, function = COMMANDS[name][0].partition(":")
    code: int = getattr(import_module(module), function)(rest)
    return code


def _help() -> str:
    rows = "\n".join(f"  {name:<10} {summary}" for name, (_, summary) in COMMANDS.items())
    return (
        "usage: dcldm COMMAND ...\n\n"
        "From a prompt to a sound on the timeline of your DAW.\n\n"
        f"commands:\n{rows}\n\n"
        "`dcldm COMMAND --help` says more; `dcldm --version` says which version this is."
    )


if __name__ == "__main__":
    sys.exit(main())
