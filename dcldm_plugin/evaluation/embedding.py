"""The sound-effect embedding of the PyPI package `aisfx`, as the space in which sounds are compared.

Ma and Lerch, *Representation Learning for the Automatic Indexing of Sound Effects Libraries* (ISMIR 2022): a network
of eight convolutions, trained to tell the categories of commercial effects libraries. Its weights (CC-BY-4.0) are in
the package, which can't be declared as a dependency, since it pins libraries of 2022; only its weights are used:

    python -m pip install --no-deps aisfx==0.1.2

The front end is Essentia's as the package calls it, re-made: 44.1 kHz, window 2048, hop 1024, the power in 96 mel
bands (HTK's scale, triangles on that scale, each of sum 1), log10(10,000 x + 1), divided by its largest value.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.models.audiocraft import BROKEN_FILE
from dcldm_plugin.models.weights import below, numpy_data

SAMPLE_RATE = 44_100
WINDOW, HOP, MELS = 2048, 1024, 96
LARGEST = 9.457798957824707  # of all log-mels that it was trained on
BLOCK_FRAMES = 100  # 2.3 s, its input
WIDTH = 512
CHANNELS = (64, 128, 256, WIDTH)
QUIET_DB = -30.0  # below the loudest block: a pause, which says nothing of the sound
SILENT_PEAK = 1e-4
BLOCKS_AT_ONCE = 16
INSTALL = "run: python -m pip install --no-deps aisfx==0.1.2"

Audio = NDArray[np.float32]


class ConvBlock(nn.Module):
    """Two convolutions, each with batch normalisation; the names are those of the published weights."""

    def __init__(self, given: int, made: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(given, made, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(made, made, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(made), nn.BatchNorm2d(made)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(x)))


class EmbeddingNet(nn.Module):
    """Normalised log-mels [batch, frames, 96] -> [batch, 512]: the mean over frequency, the maximum over time."""

    def __init__(self) -> None:
        super().__init__()
        for index, (given, made) in enumerate(zip((1, *CHANNELS), CHANNELS, strict=False), 1):
            self.add_module(f"conv_block{index}", ConvBlock(given, made))

    def forward(self, mels: Tensor) -> Tensor:
        x = mels[:, None]
        for index, block in enumerate(self.children()):
            x = block(x)
            if index < len(CHANNELS) - 1:
                x = functional.max_pool2d(x, 2)
        return x.mean(dim=3).amax(dim=2)


def mel_bands() -> Tensor:
    """Essentia's `MelBands`: [96, 1025], triangles on HTK's mel scale, the weights of each of sum 1."""

    def mel(hz: Tensor) -> Tensor:
        return 1127.01048 * torch.log1p(hz / 700.0)

    bins = mel(torch.linspace(0.0, SAMPLE_RATE / 2, WINDOW // 2 + 1, dtype=torch.float64))
    edges = torch.linspace(0.0, float(bins[-1]), MELS + 2, dtype=torch.float64)
    step = edges[1] - edges[0]
    triangles = (1.0 - (bins[None] - edges[1:-1, None]).abs() / step).clamp(min=0.0)
    return (triangles / triangles.sum(dim=1, keepdim=True)).float()


class Embedding:
    """Sounds -> vectors of 512."""

    def __init__(self, net: EmbeddingNet) -> None:
        self.net = net.eval().requires_grad_(False)
        self.bands = mel_bands()
        self.window = torch.hann_window(WINDOW, periodic=False)

    @classmethod
    def installed(cls) -> Embedding:
        """With the weights of the installed package. Raises `DcldmError` with how to install it."""
        spec = find_spec("aisfx")
        if spec is None or spec.origin is None:
            raise DcldmError(f"The judge needs the Python package aisfx; {INSTALL}.")
        return cls(read_net(Path(spec.origin).parent / "models" / "checkpoint.pth"))

    @torch.inference_mode()
    def __call__(self, audio: Audio, rate: int) -> NDArray[np.float32]:
        """The vector [512] of a sound [samples]: the mean over its blocks of 2.3 s, pauses left out."""
        blocks = self.blocks(audio, rate)
        vectors = torch.cat([self.net(part) for part in torch.split(blocks, BLOCKS_AT_ONCE)])
        return np.asarray(vectors.mean(dim=0).numpy())

    def blocks(self, audio: Audio, rate: int) -> Tensor:
        """Normalised log-mels [blocks, 100, 96] of a sound, one after the other; the level plays no part.

        A rest of less than half a block is left out.
        """
        peak = max(float(np.abs(audio).max(initial=0.0)), SILENT_PEAK)
        sound = torch.from_numpy(np.asarray(soxr.resample(audio / peak, rate, SAMPLE_RATE), np.float32))
        frames = max(1, round(len(sound) / HOP / BLOCK_FRAMES)) * BLOCK_FRAMES
        sound = functional.pad(sound, (0, max(0, frames * HOP - len(sound))))
        power = torch.stft(
            sound, WINDOW, HOP, window=self.window, center=True, pad_mode="constant", return_complex=True
        )
        mels = (self.bands @ power.abs().square())[:, :frames].T.reshape(-1, BLOCK_FRAMES, MELS)
        energy = mels.sum(dim=(1, 2))
        loud = mels[energy >= energy.max() * 10.0 ** (QUIET_DB / 10.0)]
        return torch.log10(1e4 * loud + 1.0) / LARGEST


def read_net(path: Path) -> EmbeddingNet:
    """The network with the weights of `checkpoint.pth`: a pair of (tensors, numbers of classes of its heads).

    The file holds numpy numbers, which torch's safe reader is told to take; nothing in a file is run. Raises
    `DcldmError`.
    """
    try:
        with torch.serialization.safe_globals(numpy_data()):
            tensors, _ = torch.load(path, map_location="cpu", weights_only=True)
        net = EmbeddingNet()
        net.load_state_dict(below(tensors, "embedding_net."))
    except FileNotFoundError as error:
        raise DcldmError(f"There is no file {path}; {INSTALL}.") from error
    except BROKEN_FILE as error:
        raise DcldmError(f"{path} is damaged or is not aisfx's; {INSTALL} --force-reinstall.") from error
    return net
