"""Both acoustic encodings, and audio files as their source."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.models import acoustic_lm
from dcldm_plugin.models.audioldm import AudioParts, load_audio_parts
from dcldm_plugin.models.encodings import codec_encoding, fitted, latent, levelled, read_audio, vae_encoding
from dcldm_plugin.models.mel import MelConfig, MelSpectrogram


def noise(seconds: float, seed: int = 1) -> Tensor:
    return torch.randn(1, round(seconds * 16_000), generator=torch.Generator().manual_seed(seed)) * 0.1


@pytest.fixture(scope="module")
def parts(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> AudioParts:
    return load_audio_parts(tiny.write_autoencoder(tmp_path_factory.mktemp("vae")))


def test_e_t2a_of_ten_seconds_is_500_vectors_of_128(tiny: Any) -> None:
    codec = tiny.codec()
    codes = torch.randint(tiny.CODES, (2, tiny.CODEBOOKS, 500), generator=torch.Generator().manual_seed(1))
    encoding = acoustic_lm.latents(codec, codes)
    assert encoding.shape == (2, 500, 128)
    books = [layer.codebook.embed for layer in codec.quantizer.layers]
    expected = sum(book[codes[:, index]] for index, book in enumerate(books))
    torch.testing.assert_close(encoding, expected)


def test_e_t2a_of_any_sound_is_that_of_its_codes(tiny: Any) -> None:
    codec, audio = tiny.codec(), noise(2.0)
    encoding = codec_encoding(codec, audio)
    assert encoding.shape == (1, 100, 128)
    codes = codec.encode(audio[:, None], bandwidth=codec.config.target_bandwidths[0]).audio_codes[0]
    assert torch.equal(encoding, acoustic_lm.latents(codec, codes))


def test_e_prime_t2a_of_10_24_seconds_is_256_vectors_of_128(parts: AudioParts) -> None:
    analysis = MelSpectrogram(MelConfig())
    audio = noise(10.24)
    encoding = vae_encoding(parts.space, audio, analysis)
    assert encoding.shape == (1, 256, 128)
    z = latent(parts.space, audio, analysis)
    for step, channel, band in ((0, 0, 0), (17, 3, 5), (255, 7, 15)):
        assert encoding[0, step, channel * 16 + band] == z[0, channel, step, band]


@torch.inference_mode()
def test_the_latent_is_scaled_and_of_tangos_level(tiny: Any, parts: AudioParts) -> None:
    analysis, audio = MelSpectrogram(MelConfig()), noise(0.64)
    z = latent(parts.space, audio, analysis)
    prepared = audio - audio.mean()
    mel = analysis(0.5 * prepared / prepared.abs().max())
    expected = tiny.vae().encode(mel[:, None]).latent_dist.mean * tiny.SCALING_FACTOR
    torch.testing.assert_close(z, expected, atol=1e-5, rtol=1e-5)
    assert torch.allclose(z, latent(parts.space, audio * 0.3 + 0.2, analysis), atol=1e-3)


def test_silence_stays_silence() -> None:
    assert torch.equal(levelled(torch.full((2, 100), 0.3)), torch.zeros(2, 100))
    assert float(levelled(noise(0.1)).abs().max()) == pytest.approx(0.5)


def test_a_sound_is_cut_or_continued_with_silence() -> None:
    audio = torch.arange(1.0, 5.0)[None]
    assert fitted(audio, 2).tolist() == [[1.0, 2.0]]
    assert fitted(audio, 6).tolist() == [[1.0, 2.0, 3.0, 4.0, 0.0, 0.0]]


# Files


def sine(seconds: float, rate: int, hz: float = 440.0) -> NDArray[np.float64]:
    wave: NDArray[np.float64] = 0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return wave


@pytest.mark.parametrize(
    ("rate", "channels", "name"),
    [
        (16_000, 1, "a.wav"),
        (44_100, 2, "a.flac"),
        (48_000, 6, "a.wav"),
        (96_000, 1, "a.aiff"),
        (8_000, 1, "a.wav"),
        (44_100, 2, "ä ö.ogg"),
    ],
)
def test_any_rate_and_number_of_channels(tmp_path: Path, rate: int, channels: int, name: str) -> None:
    path = tmp_path / name
    soundfile.write(path, np.repeat(sine(2.0, rate)[:, None], channels, axis=1), rate)
    audio = read_audio(path, 1.0)
    assert audio.shape == (1, 16_000)
    assert audio.dtype == torch.float32
    expected = torch.from_numpy(sine(1.0, 16_000)).float()
    assert (audio[0, 500:-500] - expected[500:-500]).abs().max() < 0.02


def test_channels_are_averaged(tmp_path: Path) -> None:
    stereo = np.stack([sine(1.0, 16_000), np.zeros(16_000)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 16_000, subtype="FLOAT")
    audio = read_audio(tmp_path / "a.wav", 1.0)
    assert np.allclose(audio[0].numpy(), sine(1.0, 16_000) / 2, atol=1e-6)


def test_what_is_short_is_followed_by_silence_and_what_is_long_is_not_read_whole(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", sine(0.5, 48_000), 48_000)
    audio = read_audio(tmp_path / "short.wav", 2.0)
    assert audio.shape == (1, 32_000)
    assert not audio[0, 8_000:].any() and audio[0, :7_000].abs().max() > 0.2
    soundfile.write(tmp_path / "long.wav", sine(30.0, 16_000), 16_000)
    assert read_audio(tmp_path / "long.wav", 1.0).shape == (1, 16_000)


def refuses(path: Path, words: str, seconds: float = 1.0) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        read_audio(path, seconds)
    assert "\n" not in str(caught.value)


def test_what_is_no_sound_is_refused_with_a_sentence(tmp_path: Path) -> None:
    refuses(tmp_path / "gone.wav", "is gone")
    path = tmp_path / "a.wav"
    path.write_text("not audio")
    refuses(path, "can't be read as audio")
    path.write_bytes(b"")
    refuses(path, "can't be read as audio")
    refuses(tmp_path, "can't be read as audio")
    soundfile.write(path, sine(0.01, 48_000), 48_000)
    refuses(path, r"lasts 0\.010 s")
    soundfile.write(path, np.zeros(0), 48_000)
    refuses(path, r"lasts 0\.000 s")
    soundfile.write(path, np.full(48_000, 0.4), 48_000)
    refuses(path, "silent")  # an offset alone is no sound
    late = np.concatenate([np.zeros(48_000), sine(1.0, 48_000)])
    soundfile.write(path, late, 48_000)
    refuses(path, r"silent in its first 0\.5 s", 0.5)
    broken = sine(1.0, 16_000)
    broken[100] = np.nan
    soundfile.write(path, broken, 16_000, subtype="FLOAT")
    refuses(path, "no sound")
    soundfile.write(path, np.tile(sine(0.2, 16_000)[:, None], 65), 16_000)
    refuses(path, "65 channels")
    soundfile.write(path, sine(1.0, 500), 500)
    refuses(path, "500 Hz")


def test_a_truncated_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sine(1.0, 16_000), 16_000)
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[: len(whole) // 2])
    audio = read_audio(tmp_path / "a.wav", 1.0)
    assert audio[0, :7_000].abs().max() > 0.2 and not audio[0, 9_000:].any()
