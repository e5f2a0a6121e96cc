"""The extractors: layouts of the published files, front ends of their authors, and files that are something else."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.evaluation.clap import Clap
from dcldm_plugin.evaluation.panns import MEL, Cnn14
from dcldm_plugin.evaluation.vggish import Vggish, examples

RATE = 16_000
NARROW = (4, 4, 4, 4, 4, 8)


def noise(seconds: float, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


def on_meta(kind: type[torch.nn.Module]) -> torch.nn.Module:
    with torch.device("meta"):
        return kind()


def test_vggish_has_the_published_layout() -> None:
    net = on_meta(Vggish)
    layers = [f"features.{index}" for index in (0, 3, 6, 8, 11, 13)] + [f"embeddings.{index}" for index in (0, 2, 4)]
    assert list(net.state_dict()) == [f"{layer}.{name}" for layer in layers for name in ("weight", "bias")]
    assert sum(parameter.numel() for parameter in net.parameters()) == 72_141_184
    assert net.embeddings[0].weight.shape == (4096, 512 * 4 * 6)


def test_cnn14_has_the_published_layout() -> None:
    net = on_meta(Cnn14)
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    names = ["spectrogram_extractor.stft.conv_real.weight", "spectrogram_extractor.stft.conv_imag.weight"]
    names += ["logmel_extractor.melW", *(f"bn0.{name}" for name in norm)]
    for block in range(1, 7):
        names += [f"conv_block{block}.conv{number}.weight" for number in (1, 2)]
        names += [f"conv_block{block}.bn{number}.{name}" for number in (1, 2) for name in norm]
    names += [f"{layer}.{name}" for layer in ("fc1", "fc_audioset") for name in ("weight", "bias")]
    assert set(net.state_dict()) == set(names)
    front_end = sum(net.state_dict()[name].numel() for name in names[:3])
    # What the authors count (table 5 of the paper): the front end is fixed.
    assert sum(parameter.numel() for parameter in net.parameters()) - front_end == 80_753_615
    assert net.state_dict()["logmel_extractor.melW"].shape == (257, 64)


def test_vggish_hears_what_its_authors_code_hears() -> None:
    spec = importlib.util.find_spec("torchvggish")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("python -m pip install --no-deps torchvggish==0.2")
    place = Path(spec.submodule_search_locations[0]) / "mel_features.py"
    found = importlib.util.spec_from_file_location("mel_features", place)
    assert found is not None
    assert found.loader is not None
    theirs = importlib.util.module_from_spec(found)
    found.loader.exec_module(theirs)
    audio = noise(10.24)
    mels = theirs.log_mel_spectrogram(
        audio.double().numpy(), audio_sample_rate=RATE, log_offset=0.01, window_length_secs=0.025,
        hop_length_secs=0.010, num_mel_bins=64, lower_edge_hertz=125, upper_edge_hertz=7500,
    )  # fmt: skip
    expected = theirs.frame(mels, 96, 96)
    assert examples(audio).shape == (10, 96, 64)
    assert np.allclose(examples(audio).numpy(), expected, atol=1e-5)


def test_cnn14s_convolutions_are_a_fourier_transform() -> None:
    audio = noise(2.0)
    ours = Cnn14(NARROW).spectrogram_extractor["stft"](audio[None])
    theirs = torch.stft(audio, 512, 160, window=torch.hann_window(512), return_complex=True, pad_mode="reflect")
    assert torch.allclose(ours[0].T, theirs.abs().square(), rtol=1e-3, atol=1e-4)
    assert MEL.hop == 160


def test_written_and_read_with_what_training_leaves_in_the_file(tmp_path: Path) -> None:
    net = Cnn14(NARROW).eval()
    left = {"iteration": np.int64(3), "sampler": {"indexes": np.arange(4), "pointer": 0}}
    torch.save({"model": net.state_dict(), **left}, tmp_path / "cnn14.pth")
    read = Cnn14.read(tmp_path / "cnn14.pth", NARROW)
    with torch.inference_mode():
        features, logits = read(torch.stack([noise(2.0), noise(2.0, 1)]))
        assert features.shape == (2, 8)
        assert logits.shape == (2, 527)
        assert torch.equal(features, net(torch.stack([noise(2.0), noise(2.0, 1)]))[0])
        assert (features >= 0).all()
    small = Vggish(8).eval()
    torch.save(small.state_dict(), tmp_path / "vggish.pth")
    with torch.inference_mode():
        made = Vggish.read(tmp_path / "vggish.pth", 8)(noise(2.0))
        assert made.shape == (2, 128)
        assert torch.equal(made, small(noise(2.0)))
        assert (made < 0).any()  # the last ReLU is cut off


def test_files_that_are_something_else(tmp_path: Path, tiny: ModuleType) -> None:
    with pytest.raises(DcldmError, match="There is no file"):
        Vggish.read(tmp_path / "none.pth")
    torch.save({"model": tiny.Malice(tmp_path / "ran")}, tmp_path / "hostile.pth")
    torch.save(Vggish(8).state_dict(), tmp_path / "other.pth")
    for name in ("hostile", "other"):
        with pytest.raises(DcldmError):
            Cnn14.read(tmp_path / f"{name}.pth")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(DcldmError, match="does not hold CLAP"):
        Clap.read(tmp_path)


def tiny_clap(folder: Path) -> Path:
    """A small CLAP with the processor of the real one, written as the hub has it."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor, RobertaTokenizer

    torch.manual_seed(0)
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *"abcdefghijklmnopqrstuvwxyz"]
    text = {"vocab_size": len(pieces), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "pad_token_id": 1, "projection_dim": 16}  # fmt: skip
    audio = {"patch_embeds_hidden_size": 8, "hidden_size": 64, "depths": [1, 1, 1, 1],
             "num_attention_heads": [1, 1, 1, 1], "enable_fusion": False, "projection_dim": 16}  # fmt: skip
    ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=16)).save_pretrained(folder)
    tokenizer = RobertaTokenizer(vocab={piece: index for index, piece in enumerate(pieces)}, merges=[])
    ClapProcessor(ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad"), tokenizer).save_pretrained(folder)
    return folder


def test_clap_is_a_cosine_and_the_same_each_time(tmp_path: Path) -> None:
    clap = Clap.read(tiny_clap(tmp_path))
    sound = noise(11.0).numpy()  # longer than its window, of which a random piece would be taken
    score = clap(sound, RATE, "rain")
    assert -1.0 <= score <= 1.0
    assert clap(sound, RATE, "rain") == score
    assert clap(sound, RATE, "wind") != score
