"""Cnn14 of PANNs, the tagger of FD, KL and IS: Kong et al., *PANNs* (2020), https://arxiv.org/abs/1912.10211.

The layers and names are those of the published weights `Cnn14_16k_mAP=0.438.pth`
(https://zenodo.org/record/3987831), which bring their own Fourier and mel matrices.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcldm_plugin.models.mel import MelConfig, mel_filters
from dcldm_plugin.models.weights import fill, read_tensors

FILE = "Cnn14_16k_mAP=0.438.pth"
SOURCE = "https://zenodo.org/record/3987831/files/Cnn14_16k_mAP%3D0.438.pth"
SAMPLE_RATE = 16_000
MEL = MelConfig(window=512, low_hz=50.0, high_hz=8_000.0)
CLASSES = 527  # of AudioSet
WIDTHS = (64, 128, 256, 512, 1024, 2048)
FLOOR = 1e-10


class Fourier(nn.Module):
    """A windowed Fourier transform as two convolutions (of the package torchlibrosa): audio -> power."""

    def __init__(self) -> None:
        super().__init__()
        size, bins = MEL.window, MEL.window // 2 + 1
        for name in ("conv_real", "conv_imag"):
            self.add_module(name, nn.Conv1d(1, bins, size, MEL.hop, bias=False))
        window = torch.hann_window(size, dtype=torch.float64)
        phase = torch.outer(torch.arange(bins), torch.arange(size)).double() * (-2.0 * torch.pi / size)
        for name, values in (("conv_real", phase.cos()), ("conv_imag", phase.sin())):
            self.get_submodule(name).weight.data = (values * window).float()[:, None]

    def forward(self, audio: Tensor) -> Tensor:
        padded = functional.pad(audio[:, None], (MEL.window // 2,) * 2, mode="reflect")
        parts = [self.get_submodule(name)(padded) for name in ("conv_real", "conv_imag")]
        return torch.as_tensor(parts[0].square() + parts[1].square()).transpose(1, 2)  # [batch, frames, bins]


class ConvBlock(nn.Module):
    """Two convolutions with batch normalisation, then a mean over squares of `pool`."""

    def __init__(self, given: int, made: int, pool: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(given, made, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(made, made, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(made), nn.BatchNorm2d(made)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        return functional.avg_pool2d(functional.relu(self.bn2(self.conv2(x))), self.pool)


class Cnn14(nn.Module):
    """Waveforms [batch, samples] at 16 kHz -> (features [batch, 2048], logits [batch, 527]).

    `widths` of the blocks: smaller in tests.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.spectrogram_extractor = nn.ModuleDict({"stft": Fourier()})
        with torch.device("cpu"):  # they can't be computed on the meta device
            filters = mel_filters(MEL).T.contiguous()
        self.logmel_extractor = nn.ParameterDict({"melW": filters})
        self.bn0 = nn.BatchNorm2d(MEL.mels)
        self.blocks = [f"conv_block{index}" for index in range(1, len(widths) + 1)]
        for name, given, made in zip(self.blocks, (1, *widths), widths, strict=False):
            self.add_module(name, ConvBlock(given, made, 1 if name == self.blocks[-1] else 2))
        self.fc1 = nn.Linear(widths[-1], widths[-1])
        self.fc_audioset = nn.Linear(widths[-1], CLASSES)

    @classmethod
    def read(cls, path: Path, widths: tuple[int, ...] = WIDTHS) -> Cnn14:
        """The published weights. Raises `DcldmError`."""
        with torch.device("meta"):
            net = cls(widths)
        fill(net, read_tensors(path, "the weights of Cnn14"), f"The file {path}")
        return net.eval().requires_grad_(False)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        mels = self.spectrogram_extractor["stft"](audio) @ self.logmel_extractor["melW"]
        x = 10.0 * torch.log10(mels.clamp(min=FLOOR))[:, None]  # [batch, 1, frames, mels]
        x = self.bn0(x.transpose(1, 3)).transpose(1, 3)
        for name in self.blocks:
            x = self.get_submodule(name)(x)
        x = x.mean(dim=3)
        x = functional.relu(self.fc1(x.amax(dim=2) + x.mean(dim=2)))
        return x, self.fc_audioset(x)
