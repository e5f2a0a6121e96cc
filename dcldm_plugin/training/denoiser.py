"""Training of the dual-conditioned denoiser (section 2.3, equation 3, on v with min-SNR weights).

Where the plan that it learns from is the target's own, it is made worse on purpose: some codebooks dropped, some
tokens wrong, often the whole plan replaced by that of the empty text. So the denoiser listens to the plan for
*when* and *how loud*, does not trust it beyond what a language model can predict, and still works from text alone.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn

from dcldm_plugin.models.denoiser import Conditions
from dcldm_plugin.models.schedule import TRAINING_STEPS, add_noise, alphas, min_snr_weight, velocity
from dcldm_plugin.training.config import DenoiserRecipe
from dcldm_plugin.training.draw import Draw, normal, uniform
from dcldm_plugin.training.precompute import EncodedSet

NOISE_LEVELS = (("high noise", 0.0, 0.2), ("mid noise", 0.2, 0.8), ("low noise", 0.8, 1.0))  # by alpha_t


class DenoiserLoss:
    """The weighted error of what the denoiser predicts. `books`: the codec's vectors [codebooks, size, width]."""

    def __init__(
        self,
        data: EncodedSet,
        books: Tensor,
        recipe: DenoiserRecipe,
        prediction: Literal["v_prediction", "epsilon"] = "v_prediction",
    ) -> None:
        self.data, self.books, self.recipe, self.prediction = data, books.cpu(), recipe, prediction
        self.alphas = alphas().float()

    def __call__(self, model: nn.Module, draw: Draw) -> dict[str, Tensor]:
        data, recipe, device = self.data, self.recipe, draw.device
        shared, own = draw.shared(), draw.own()

        # 1. Latents, in some steps of a half of each sound.
        mean, deviation = data.latents(draw.rows)
        piece = piece_of(mean.shape[2], shared, recipe.crops, recipe.from_start)
        shape = (mean.shape[1], piece.stop - piece.start, mean.shape[3])
        z = mean[:, :, piece]
        if recipe.posterior and deviation is not None:
            z = z + deviation[:, :, piece] * normal(own, shape, z.device)

        # 2. Conditions, some of them those of the empty text.
        both, text = recipe.drop_both, recipe.drop_both + recipe.drop_text
        chance = uniform(own)
        no_text, no_plan = chance < text, (chance < both) | ((chance >= text) & (chance < text + recipe.drop_plan))
        states, mask = data.texts(draw.rows, no_text)
        given = self._plans(draw.rows, own)
        plan = torch.where(torch.from_numpy(no_plan)[:, None, None], data.empty_encoding[None], given)
        plan = plan_piece(plan, piece, mean.shape[2])

        # 3. Noise, stratified over the time steps of the batch, and the weighted error.
        t = (shared.random() + draw.places / draw.batch) % 1.0 * TRAINING_STEPS
        index = torch.from_numpy(t.astype(np.int64))
        alpha, noise, z = self.alphas[index].to(device), normal(own, shape, device), z.to(device)
        conditions = Conditions(states.to(device), mask.to(device), plan.to(device))
        predicted = model(add_noise(z, noise, alpha), index.to(device), conditions).float()
        is_v = self.prediction == "v_prediction"
        target = velocity(z, noise, alpha) if is_v else noise
        errors = (predicted - target).square().mean(dim=(1, 2, 3))
        weight = min_snr_weight(alpha, recipe.snr_gamma) if recipe.snr_gamma else torch.ones_like(alpha)
        terms = {name: errors.detach()[(alpha < high) & (alpha >= low)].mean() for name, low, high in NOISE_LEVELS}
        return {"total": (weight * errors).mean(), "error": errors.mean(), **terms}

    def _plans(self, rows: NDArray[np.int64], own: list[Generator]) -> Tensor:
        """What the denoiser is told [rows, length, width]."""
        stored = self.data.encodings(rows)
        if stored is not None:
            return stored
        return encoded(self.data.codes(rows), self.books, own, self.recipe.wrong_tokens, self.recipe.fewer_codebooks)


def piece_of(steps: int, shared: Generator, crops: float, from_start: float) -> slice:
    """All of the latent steps, or, in `crops` of all cases, a half of them, which in `from_start` is the first."""
    if shared.random() >= crops:
        return slice(0, steps)
    length = steps // 2
    start = 0 if shared.random() < from_start else int(shared.integers(steps - length + 1))
    return slice(start, start + length)


def plan_piece(plan: Tensor, piece: slice, steps: int) -> Tensor:
    """What of a plan [batch, frames, width], which lasts `steps` latent steps, goes with a piece of these."""
    ratio = plan.shape[1] / steps
    return plan[:, round(piece.start * ratio) : round(piece.stop * ratio)]


def encoded(
    codes: Tensor, books: Tensor, own: list[Generator], wrong_tokens: float, fewer_codebooks: float = 0.0
) -> Tensor:
    """E_t2a [batch, frames, width] of codes [batch, codebooks, frames], with wrong and missing tokens."""
    count = len(books)
    kept = torch.full((len(codes),), count)
    for row, random in enumerate(own):
        if wrong_tokens:
            wrong = torch.from_numpy(random.random(codes.shape[1:]) < wrong_tokens)
            others = torch.from_numpy(random.integers(books.shape[1], size=codes.shape[1:]))
            codes[row] = torch.where(wrong, others, codes[row])
        if fewer_codebooks and count > 1 and random.random() < fewer_codebooks:
            kept[row] = int(random.integers(1, count))
    given = (torch.arange(count)[None] < kept[:, None]).float()
    return torch.stack([given[:, k, None, None] * book[codes[:, k]] for k, book in enumerate(books)]).sum(0)
