"""The commands of `dcldm`: what they share is here, each has a module of its own."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.settings import Settings, writable_folder

LOG_BYTES = 1_000_000


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one sentence. Every command has `--home`."""

    def __init__(self, command: str, description: str) -> None:
        super().__init__(prog=f"dcldm {command}", description=description, allow_abbrev=False)
        self.add_argument("--home", type=Path, metavar="DIR", help="folder of settings and library (else $DCLDM_HOME)")

    def error(self, message: str) -> NoReturn:
        raise InvalidInput(f"{message[:1].upper()}{message[1:]}; see `{self.prog} --help`.")


@contextmanager
def log_file(settings: Settings) -> Iterator[None]:
    """Keep what is logged meanwhile, tracebacks above all, in `dcldm.log` of the log folder."""
    from logging.handlers import RotatingFileHandler

    folder = writable_folder(settings.log_folder)
    handler = RotatingFileHandler(folder / "dcldm.log", maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
