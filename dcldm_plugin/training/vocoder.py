"""Training of a vocoder: HiFi-GAN's network (https://arxiv.org/abs/2010.05646) on the VAE's mels.

It learns the mel of what it makes and, after a while, to pass for a recording before judges of spectrograms at
three resolutions (UnivNet, https://arxiv.org/abs/2106.07889, section 2.2) with the least-squares loss. Judges and
generator take each step together: the judges see a sound without its history, and the generator judges that hold
still, so that one backward pass gives both their own gradients.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from dcldm_plugin.models.audioldm import HifiGan
from dcldm_plugin.models.mel import MelConfig, MelSpectrogram
from dcldm_plugin.training.config import SoundRecipe
from dcldm_plugin.training.draw import Draw
from dcldm_plugin.training.precompute import AudioSet
from dcldm_plugin.training.vae import pieces

RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))  # window and hop
MEL_WEIGHT, FEATURE_WEIGHT = 45.0, 2.0  # HiFi-GAN's, of its log-mel and of the judges' features
JUDGE_WIDTH = 32


class SpectrogramJudge(nn.Module):
    """Audio [batch, samples] -> features of each layer, the last of which is the verdict: 1 for a recording."""

    window: Tensor

    def __init__(self, window: int, hop: int, width: int = JUDGE_WIDTH) -> None:
        super().__init__()
        self.hop = hop
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        strides = (1, 2, 2, 2, 1)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(1 if index == 0 else width, width, (3, 9 if index < 4 else 3),
                                  (1, stride), (1, 4 if index < 4 else 1)))
            for index, stride in enumerate(strides)
        )  # fmt: skip
        self.verdict = weight_norm(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, audio: Tensor) -> list[Tensor]:
        spectrum = torch.stft(audio, len(self.window), self.hop, window=self.window, return_complex=True).abs()
        x, features = spectrum.transpose(1, 2)[:, None], []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.1)
            features.append(x)
        return [*features, self.verdict(x)]


class TrainableVocoder(nn.Module):
    """The vocoder and its judges."""

    def __init__(self, vocoder: HifiGan) -> None:
        super().__init__()
        self.vocoder = vocoder
        self.judges = nn.ModuleList(SpectrogramJudge(window, hop) for window, hop in RESOLUTIONS)


class VocoderLoss:
    """Mel distance, and what the judges say; `analysis` is the mel that the vocoder is given."""

    def __init__(self, data: AudioSet, recipe: SoundRecipe, analysis: MelSpectrogram) -> None:
        self.data, self.recipe, self.analysis = data, recipe, analysis
        self.fine = MelSpectrogram(MelConfig(window=1024, hop=256, mels=80))

    def __call__(self, model: nn.Module, draw: Draw) -> dict[str, Tensor]:
        assert isinstance(model, TrainableVocoder)
        hop = self.analysis.config.hop
        samples = round(self.recipe.seconds * self.analysis.config.sample_rate / hop) * hop
        real = pieces(self.data.audio(draw.rows), draw.own(), samples).to(draw.device)
        fake = model.vocoder(self.analysis.to(draw.device)(real))
        fine = self.fine.to(draw.device)
        distance = (fine(fake) - fine(real)).abs().mean()
        terms = {"total": MEL_WEIGHT * distance, "mel": distance}
        if draw.step >= self.recipe.plain_steps:
            passing, alike, judging = (torch.stack(each).mean() for each in zip(*_judged(model, real, fake)))  # noqa: B905
            terms["total"] = terms["total"] + passing + FEATURE_WEIGHT * alike + judging
            terms |= {"passing": passing, "features": alike, "judges": judging}
        return terms


def _judged(model: TrainableVocoder, real: Tensor, fake: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Of each judge: what the generator lacks to pass, how its features differ, and how the judge itself errs."""
    terms = []
    for judge in model.judges:
        still: dict[str, Any] = {name: value.detach() for name, value in judge.named_parameters()}
        seen = functional_call(judge, still, (fake,))
        true, false = judge(real), judge(fake.detach())
        alike = torch.stack(
            [(one - other.detach()).abs().mean() for one, other in zip(seen[:-1], true[:-1], strict=True)]
        )
        judging = (true[-1] - 1.0).square().mean() + false[-1].square().mean()
        terms.append(((seen[-1] - 1.0).square().mean(), alike.mean(), judging))
    return terms
