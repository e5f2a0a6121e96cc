"""VGGish, the embedding of FAD: Hershey et al., *CNN Architectures for Large-Scale Audio Classification* (2017).

The layers and names are those of the published PyTorch weights (`vggish-10086976.pth` of
https://github.com/harritaylor/torchvggish/releases). As `audioldm_eval` uses it: no PCA, and without the last ReLU.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dcldm_plugin.models.weights import fill, read_tensors

FILE = "vggish-10086976.pth"
SOURCE = "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth"
SAMPLE_RATE = 16_000
WINDOW, HOP, FFT, MELS = 400, 160, 512, 64
LOW_HZ, HIGH_HZ = 125.0, 7_500.0
LOG_OFFSET = 0.01
EXAMPLE_FRAMES = 96  # 0.96 s, one after the other
WIDTHS = (64, 128, 256, 256, 512, 512)
POOLED = (0, 1, 3, 5)  # after these convolutions


def mel_matrix() -> Tensor:
    """[257, 64]: triangles on the scale 1127 ln(1 + f / 700), of height 1; the bin of 0 Hz counts for nothing."""

    hertz = np.linspace(0.0, SAMPLE_RATE / 2, FFT // 2 + 1)
    low, *scale, high = 1127.0 * np.log1p(np.array([LOW_HZ, *hertz, HIGH_HZ]) / 700.0)
    bins, edges = np.array(scale)[:, None], np.linspace(low, high, MELS + 2)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    matrix = np.maximum(0.0, np.minimum(rising, falling))
    matrix[0] = 0.0
    return torch.from_numpy(matrix)


class Vggish(nn.Module):
    """Waveform [samples] at 16 kHz -> [examples, 128], one of each 0.96 s. `hidden`: 4096, less in tests."""

    def __init__(self, hidden: int = 4096) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, (given, made) in enumerate(zip((1, *WIDTHS), WIDTHS, strict=False)):
            layers += [nn.Conv2d(given, made, 3, padding=1), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if index in POOLED else []
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(WIDTHS[-1] * 6 * 4, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, 128),
        )  # fmt: skip

    @classmethod
    def read(cls, path: Path, hidden: int = 4096) -> Vggish:
        """The published weights. Raises `DcldmError`."""
        with torch.device("meta"):
            net = cls(hidden)
        fill(net, read_tensors(path, "VGGish's weights"), f"The file {path}")
        return net.eval().requires_grad_(False)

    def forward(self, audio: Tensor) -> Tensor:
        x = self.features(examples(audio)[:, None])
        return torch.as_tensor(self.embeddings(x.permute(0, 2, 3, 1).flatten(1)))


def examples(audio: Tensor) -> Tensor:
    """log(mel + 0.01) in pieces [examples, 96, 64]; what is left over at the end is dropped."""
    frames = audio.double().unfold(0, WINDOW, HOP) * torch.hann_window(WINDOW, dtype=torch.float64)
    mels = torch.fft.rfft(frames, FFT).abs() @ mel_matrix()
    whole = len(mels) // EXAMPLE_FRAMES * EXAMPLE_FRAMES
    return torch.log(mels[:whole] + LOG_OFFSET).float().view(-1, EXAMPLE_FRAMES, MELS)
