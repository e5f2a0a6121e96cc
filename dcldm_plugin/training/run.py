"""A training run from its configuration to the model's folder: what `dcldm train` starts as a process of its own.

    python -m dcldm_plugin.training.run CONFIG.toml

On several machines, or with any other of accelerate's settings: `accelerate launch -m dcldm_plugin.training.run
CONFIG.toml`. The same command goes on where a run was stopped, and does nothing more when it is done.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator

from dcldm_plugin.errors import Cancelled, DcldmError, is_out_of_memory
from dcldm_plugin.settings import writable_folder
from dcldm_plugin.training.base import Base, load_base, write_result
from dcldm_plugin.training.checkpoints import room, written
from dcldm_plugin.training.config import Config, read_config, to_toml
from dcldm_plugin.training.journal import read_log
from dcldm_plugin.training.loop import make_accelerator, train
from dcldm_plugin.training.page import Look, add_look, write_page
from dcldm_plugin.training.parts import Task, build
from dcldm_plugin.training.sound_files import read_clip

EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 failed, 2 bad input, 130 stopped; a traceback is a bug of ours."""
    parser = argparse.ArgumentParser(description="Train one part of a model.")
    parser.add_argument("config", type=Path)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--check", action="store_true", help="print the configuration and stop")
    options = parser.parse_args(arguments)
    try:
        config = read_config(options.config)
        if options.check:
            print(to_toml(config), end="")
            return 0
        folder = run(config, options.home)
    except DcldmError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except (Cancelled, KeyboardInterrupt):
        print("Stopped; give the same command again to go on.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        print("Memory ran out; set at_once in [run] to a smaller number, and give the command again.", file=sys.stderr)
        return 1
    if folder is not None:
        print(f'The model is in {folder}; hear it: dcldm generate "…" --model {folder}')
    return 0


def run(config: Config, home: Path | None = None) -> Path | None:
    """Train, and write the model's folder; None in a process that is not the first."""
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    elif config.base != "tango":
        torch.set_num_threads(min(2, torch.get_num_threads()))  # small matrices: more threads cost time
    torch.manual_seed(config.run.seed)
    accelerator = make_accelerator(config.run)
    text = to_toml(config)
    out = config.out
    accelerator.print(text)
    with room(out):
        writable_folder(out)
        if accelerator.is_main_process:
            _store(out / "train.toml", text)
        return _run(config, load_base(config, home), accelerator, text)


def _run(config: Config, base: Base, accelerator: Accelerator, text: str) -> Path | None:
    out, left_out = config.out, []

    def complain(sentence: str) -> None:
        if sentence not in left_out:
            left_out.append(sentence)
            print(sentence, file=sys.stderr, flush=True)

    task = build(config, base, accelerator, out / "cache", complain)
    main = accelerator.is_main_process
    if main:
        _store(out / "left-out.txt", "".join(sentence + "\n" for sentence in left_out))
        accelerator.print(
            f"{len(task.sounds.learned):,} sounds to learn from, {len(task.sounds.held_out):,} held out, "
            f"{len(left_out):,} left out; on {accelerator.device}."
        )

    def watch(step: int) -> None:
        rate = base.chain.config.mel.sample_rate
        looks = _looks(config, task, rate)
        if looks:
            distance = add_look(out, step, looks, rate)
            if distance is not None:
                print(f"step {step:,}  {distance:.2f} dB from what was recorded", file=sys.stderr, flush=True)
        write_page(out, config.title or out.name, text)

    if task.loss is not None:
        train(
            task.model, task.loss, out, task.sounds, config.run, config.optimizer,
            accelerator=accelerator, watch=watch, watch_every=config.samples.every,
        )  # fmt: skip
    with torch.no_grad():
        task.finish()
    if not main:
        return None
    if task.loss is None:
        watch(0)
    folder = out / "model"
    version = write_result(base, config, folder)
    _tell(config, task, folder, text, len(left_out))
    accelerator.print(f"Version {version}.")
    return folder


def _looks(config: Config, task: Task, rate: int) -> list[Look]:
    settings, rows = config.samples, task.sounds.held_out if len(task.sounds.held_out) else task.sounds.learned
    looks = []
    if settings.prompts:
        return [Look(prompt, task.render(prompt, int(rows[0])), None) for prompt in settings.prompts]
    for row in rows[: settings.count]:
        clip = task.data.clips[row]
        rendered = task.render(clip.caption, int(row))
        looks.append(Look(clip.caption, rendered, read_clip(clip, len(rendered) / rate, rate, config.data.level)))
    return looks


def _tell(config: Config, task: Task, folder: Path, text: str, left_out: int) -> None:
    """What a model card needs, beside the weights: how it was made, of what, and how the loss went.

    This folder may be passed on, so it names files, and not the folders of the machine.
    """
    out = config.out
    _store(folder / "train.toml", re.sub(r'"(?:[A-Za-z]:)?[/\\][^"]*[/\\]([^"/\\]+)"', r'"\1"', text))
    learned, held = read_log(out)
    rows = [{"set": "learned", **line} for line in learned]
    rows += [{"set": "held out", "step": line["step"], **line["held out"]} for line in held]
    names = list(dict.fromkeys(name for row in rows for name in row))

    def write_curve(partial: Path) -> None:
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names or ["set"], restval="")
            writer.writeheader()
            writer.writerows(rows)

    written(folder / "curve.csv", write_curve)
    clips = [task.data.clips[row] for row in task.sounds.learned]
    facts = {
        "sounds": len(clips),
        "held_out": len(task.sounds.held_out),
        "left_out": left_out,
        "files": sorted({item.path.name for clip in clips for item in clip.of}),
        "captions": sorted({clip.caption for clip in clips})[:1000],
    }
    _store(folder / "data.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def _store(path: Path, text: str) -> None:
    written(path, lambda partial: partial.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(main())
