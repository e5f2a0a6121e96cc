"""Set up and run, or set up and test: the two commands of the README, on Linux, macOS and Windows alike.

    python3 .ci/dev.py run generate "heavy rain on a roof"      (`py` in place of `python3` on Windows)
    python3 .ci/dev.py test [pytest arguments]

An environment is made in `.venv` and used again. Needs Python 3.11 or newer and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
# Not declared in pyproject.toml, since they pin libraries of their day; what audiocraft really needs is (extra
# "audiocraft"); of aisfx only the weights are used, the last two are what our metrics are compared with.
WITHOUT_DEPENDENCIES = ["--no-deps", "audiocraft==1.3.0", "aisfx==0.1.2", "audioldm-eval==0.0.3", "torchvggish==0.2"]
CHECKS = (
    ["-m", "ruff", "check", "."],
    ["-m", "ruff", "format", "--check", "."],
    ["-m", "mypy"],
    ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
)
# Most tests are processes that wait for one another, so two go side by side; real DAWs and benchmarks go alone.
ALONE = ["tests/end_to_end", "tests/benchmarks"]
TOGETHER = ["-n", "2", "--dist", "loadfile", *(f"--ignore={folder}" for folder in ALONE)]
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def python() -> str:
    """The environment's interpreter."""
    folder = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
    return str(folder / ("python.exe" if os.name == "nt" else "python"))


def install(what: str, *more: list[str]) -> None:
    """Make the environment and install the project into it, unless just that was done before."""
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + f"{what}{more}".encode()).hexdigest()
    done = ENVIRONMENT / f"installed-{'test' if more else 'run'}"
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return
    if not Path(python()).exists():
        venv.create(ENVIRONMENT, with_pip=True)
    for packages in (["--upgrade", "pip"], ["--editable", what], *more):
        subprocess.run([python(), "-m", "pip", "install", "--quiet", *packages], cwd=ROOT, check=True)
    done.write_text(wanted, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Returns the exit code of what was run."""
    if sys.version_info < (3, 11):  # noqa: UP036  (whoever calls this may have an older one)
        print("This needs Python 3.11 or newer; call this file with one.", file=sys.stderr)
        return 2
    task, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    try:
        if task == "run":
            install(".")
            return subprocess.call([python(), "-m", "dcldm_plugin", *rest])
        if task == "test":
            install(".[test]", WITHOUT_DEPENDENCIES)
            for check in CHECKS:
                subprocess.run([python(), *check], cwd=ROOT, check=True)
            if rest:
                return subprocess.call([python(), "-m", "pytest", *rest], cwd=ROOT)
            subprocess.run([python(), "-m", "pytest", *TOGETHER], cwd=ROOT, check=True, env=ONE_THREAD)
            return subprocess.call([python(), "-m", "pytest", *ALONE], cwd=ROOT)
    except subprocess.CalledProcessError as error:
        print(f"Stopped: {' '.join(map(str, error.cmd[1:6]))} … failed.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
