"""What is made of a latent's mel before it is heard."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dcldm_plugin.models.sound import FAINTER, LOUDER, Levels, as_loud


def mel(levels: list[float]) -> Tensor:
    """One frame of four equal bands for each logarithm of an amplitude."""
    return torch.tensor(levels)[None, :, None].expand(1, -1, 4) - 0.5 * math.log(4.0)


def test_levels_follow_another_mel() -> None:
    own, like = mel([0.0, -1.0, -1.0, -6.0, -2.0]), mel([-3.0, -3.5, -9.0, -3.0])
    made = as_loud(own, Levels(like))
    assert torch.equal(as_loud(own, None), own)
    # as far below the loudest; by 30 dB fainter at most, and 9 dB louder; what is longer stays
    torch.testing.assert_close(made, mel([0.0, -0.5, max(-6.0, -1.0 + FAINTER), -6.0 + LOUDER, -2.0]))
    torch.testing.assert_close(as_loud(own + 2.0, Levels(like - 1.0)), made + 2.0)  # how loud either is does not matter
    torch.testing.assert_close(as_loud(own, Levels(like, 0.5)), 0.5 * (own + made))
    torch.testing.assert_close(as_loud(own, Levels(like, 0.0)), own)
