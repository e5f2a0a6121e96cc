"""Training of the dual-conditioned denoiser (section 2.3, equation 3, on v with min-SNR weights).

The plan that it learns from is the target's own, made worse on purpose: some codebooks dropped, some
tokens wrong, often the whole plan replaced by that of silence. So it listens to the plan for *when* and
*how loud*, does not trust it beyond what a language model can predict, and still works from text alone.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dcldm_plugin.models.denoiser import Conditions
from dcldm_plugin.models.schedule import TRAINING_STEPS, add_noise, alphas, min_snr_weight, velocity
from dcldm_plugin.training.prepare import Prepared

NO_CONDITION_SHARE = 0.10  # both encodings of the empty text: equation 8's second term
TEXT_ONLY_SHARE = 0.35
PLAN_ONLY_SHARE = 0.05
WRONG_TOKEN_SHARE = 0.04
CODEBOOKS_KEPT = (0.2, 0.2, 0.15, 0.45)  # how often only the first 1, 2, 3, 4 codebooks are given
CROP_SHARE = 0.75  # of the steps use half-length crops, twice as many
FROM_START_SHARE = 0.7  # of the crops begin where the clip does, which is where a single event is


class DenoiserLoss:
    """The weighted error of v. `books` are the codec's codebooks [codebooks, size, width]."""

    def __init__(self, data: Prepared, books: Tensor, *, batch: int) -> None:
        self.data, self.books, self.batch = data, books, batch
        self.alphas = alphas().float()

    def plan(self, codes: NDArray[np.int64], random: np.random.Generator) -> Tensor:
        """E_t2a [batch, frames, width] of codes [batch, codebooks, frames], with wrong and missing tokens."""
        wrong = random.random(codes.shape) < WRONG_TOKEN_SHARE
        codes = np.where(wrong, random.integers(self.books.shape[1], size=codes.shape), codes)
        kept = 1 + random.choice(len(CODEBOOKS_KEPT), size=len(codes), p=CODEBOOKS_KEPT)
        index = torch.from_numpy(codes)
        plan = torch.zeros(len(codes), codes.shape[2], self.books.shape[2])
        for k, book in enumerate(self.books):
            given = torch.from_numpy((kept > k).astype(np.float32))
            plan += given[:, None, None] * book[index[:, k]]
        return plan

    def __call__(self, model: nn.Module, random: np.random.Generator) -> dict[str, Tensor]:
        # 1. Clips, most of the time as crops.
        data = self.data
        steps = data.latents.shape[2]
        batch = self.batch
        start = 0
        if random.random() < CROP_SHARE:
            batch, length = 2 * self.batch, steps // 2
            start = 0 if random.random() < FROM_START_SHARE else int(random.integers(steps - length + 1))
            steps = length
        rows = data.draw(random, batch)
        z = torch.from_numpy(data.latents[rows, :, start : start + steps].astype(np.float32))
        ratio = data.codes.shape[2] // data.latents.shape[2]
        frames = slice(start * ratio, (start + steps) * ratio)

        # 2. Conditions, some of them those of the empty text.
        draw = random.random(batch)
        no_text = (draw < NO_CONDITION_SHARE) | (draw > 1.0 - PLAN_ONLY_SHARE)
        no_plan = draw < NO_CONDITION_SHARE + TEXT_ONLY_SHARE
        states, mask = data.texts.batch(np.where(no_text, 0, data.caption_row[rows]))
        given = self.plan(data.codes[rows][:, :, frames].astype(np.int64), random)
        silent = self.books_sum(data.silence[:, frames].astype(np.int64))
        plan = torch.where(torch.from_numpy(no_plan)[:, None, None], silent, given)

        # 3. Noise, stratified over the time steps, and the weighted error of v.
        t = (random.random() + np.arange(batch) / batch) % 1.0 * TRAINING_STEPS
        t_index = torch.from_numpy(t.astype(np.int64))
        alpha = self.alphas[t_index]
        noise = torch.from_numpy(random.standard_normal(z.shape, dtype=np.float32))
        predicted = model(add_noise(z, noise, alpha), t_index, Conditions(states, mask, plan))
        errors = (predicted - velocity(z, noise, alpha)).square().mean(dim=(1, 2, 3))
        terms = {
            name: errors[(alpha < high) & (alpha >= low)].mean()
            for name, low, high in (("high noise", 0.0, 0.2), ("mid", 0.2, 0.8), ("low noise", 0.8, 1.0))
        }
        return {"total": (min_snr_weight(alpha) * errors).mean(), "error": errors.mean(), **terms}

    def books_sum(self, codes: NDArray[np.int64]) -> Tensor:
        """E_t2a [1, frames, width] of codes [codebooks, frames], all of them."""
        index = torch.from_numpy(codes)
        return torch.stack([book[row] for book, row in zip(self.books, index, strict=True)]).sum(0)[None]
