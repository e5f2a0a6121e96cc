"""The experiment on text, plan or both: arms differ in what they are told, and in nothing else."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dcldm_plugin.models import checkpoint
from dcldm_plugin.models.denoiser import Conditions
from dcldm_plugin.training.base import BUILTIN_FOLDER, Base
from dcldm_plugin.training.claim import ARMS, Told, as_told, fresh_arm, main, means


class Listener(torch.nn.Module):
    """A denoiser that keeps what it was told."""

    told: Conditions

    def forward(self, z: torch.Tensor, t: torch.Tensor, given: Conditions) -> torch.Tensor:
        self.told = given
        return z


def test_what_an_arm_is_not_told_never_reaches_it() -> None:
    given = Conditions(torch.rand(2, 3, 4), torch.ones(2, 3, dtype=torch.bool), torch.rand(2, 5, 6))
    listener, z = Listener(), torch.zeros(2, 1)
    empty = torch.rand(1, 1, 4), torch.ones(1, 1, dtype=torch.bool)
    Told(listener, empty, None)(z, z, given)
    assert torch.equal(listener.told.text, empty[0].expand(2, 1, 4))
    assert listener.told.plan is given.plan
    plan = torch.rand(1, 9, 6)
    Told(listener, None, plan)(z, z, given)
    assert torch.equal(listener.told.plan, plan[:, :5].expand(2, 5, 6))
    assert listener.told.text is given.text
    for arm in ARMS.values():
        assert sum(arm.recipe.values()) == pytest.approx(0.1 if arm.text and arm.plan else 1.0)


def test_arms_share_all_but_the_denoiser(tiny_model: Path) -> None:
    chain, version, sizes = checkpoint.read_all(tiny_model)
    base = Base("tiny", chain, version, "CC0", True, sizes)
    one, other = (fresh_arm(base, ARMS[name], 3) for name in ("text", "dual-ag"))
    another = fresh_arm(base, ARMS["dual-ag"], 4)
    for part in ("codec", "space", "plan_model"):
        states = [getattr(each.chain, part).state_dict() for each in (base, one, other, another)]
        assert all(torch.equal(states[0][name], state[name]) for state in states for name in states[0])

    def weights(each: Base) -> torch.Tensor:
        return torch.cat([value.flatten() for value in each.chain.denoiser.parameters()])

    assert torch.equal(weights(one), weights(other))  # the same draw for all arms of a seed
    assert not torch.equal(weights(other), weights(another))
    by_vae = fresh_arm(base, ARMS["dual-agvae"], 3)
    assert by_vae.chain.config.encoding == "ag_vae"
    assert by_vae.chain.denoiser.config.plan_width == 8  # channels by bands of its latent
    assert isinstance(as_told(one.chain, ARMS["text"]).denoiser, Told)
    assert not isinstance(as_told(other.chain, ARMS["dual-ag"]).denoiser, Told)


def test_arms_are_guided_by_all_that_they_are_told(tiny_model: Path) -> None:
    chain, version, sizes = checkpoint.read_all(tiny_model)
    apart = replace(sizes, chain=replace(sizes.chain, defaults=replace(sizes.chain.defaults, plan_scale=1.0)))
    arm = fresh_arm(Base("tiny", chain, version, "CC0", True, apart), ARMS["dual-ag"], 3)
    assert arm.chain.config.defaults.plan_scale is None
    assert arm.sizes is not None and arm.sizes.chain == arm.chain.config  # so it is as it is read from its folder


def test_plans_are_chosen_and_prompts_read_as_by_the_base() -> None:
    chain, version, sizes = checkpoint.read_all(BUILTIN_FOLDER)
    arm = fresh_arm(Base("builtin", chain, version, "CC-BY-SA-4.0", True, sizes), ARMS["text"], 0)
    for part in ("matcher", "phrasebook"):
        own, drawn = (getattr(each, part).state_dict() for each in (chain, arm.chain))
        assert own and all(torch.equal(own[name], drawn[name]) for name in own)


def test_means_say_how_far_seeds_are_apart() -> None:
    metrics = dict.fromkeys(("fad", "fd", "kl", "kl_sigma", "inception", "clap"))
    rows = [{"system": "a", "n": 9, "seed": seed, "fd_judge": value, "kl_judge": 1.0, **metrics}
            for seed, value in enumerate((10.0, 14.0))]  # fmt: skip
    (found,) = means(rows)
    assert (found["fd_judge"], found["fd_lowest"], found["fd_highest"], found["seeds"]) == (12.0, 10.0, 14.0, 2)
    assert "fad" not in found


@pytest.mark.timeout(900)
def test_from_sounds_to_a_report_and_again(tiny_model: Path, sounds: Path, tmp_path: Path) -> None:
    pytest.importorskip("aisfx", reason="python -m pip install --no-deps aisfx==0.1.2")
    with (tmp_path / "test.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = [(str(path), path.stem) for path in sorted(sounds.glob("*.wav"))[:3]]
        csv.writer(stream).writerows([("path", "prompt"), *rows])
    command = ["--base", str(tiny_model), "--data", str(sounds), "--list", str(tmp_path / "test.csv"), "--steps", "2"]
    command += ["--batch", "2", "--out", str(tmp_path / "claim"), "--seeds", "0"]
    assert main(command) == 0
    found = json.loads((tmp_path / "claim" / "report.json").read_text(encoding="utf-8"))
    assert [row["system"] for row in found["rows"]] == [arm.title for arm in ARMS.values()]
    assert all(row["n"] == 3 and row["fd_judge"] > 0 for row in found["rows"])
    assert len({row["version"] for row in found["rows"]}) == 4
    page = (tmp_path / "claim" / "report.html").read_text(encoding="utf-8")
    assert "dual, AG_VAE" in page
    assert "3 of the 3 test sounds were learned from" in page
    made = (tmp_path / "claim" / "text-0" / "model" / "config.json").stat().st_mtime_ns
    assert main(command) == 0  # nothing is done twice
    assert (tmp_path / "claim" / "text-0" / "model" / "config.json").stat().st_mtime_ns == made
    assert main([*command[:1], str(tmp_path / "nothing"), *command[2:-1], "7"]) == 2
