"""Diffsound from checkpoints with the names and shapes that its own code gives them, tiny and at random."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dcldm_plugin.backends.diffsound import make
from dcldm_plugin.errors import Cancelled, DcldmError, InvalidInput
from dcldm_plugin.models.diffsound import load_diffsound, truncated
from dcldm_plugin.store import Store
from dcldm_plugin.types import GenerationRequest, Sampling, unheard

WIDTH, CODES, BANDS, FRAMES, STEPS = 64, 16, 2, 5, 100
CLASSES = CODES + 2  # one that is never used, and the mask
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
Shapes = dict[str, tuple[int, ...]]


def linear(name: str, given: int, made: int) -> Shapes:
    return {f"{name}.weight": (made, given), f"{name}.bias": (made,)}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def conv(name: str, given: int, made: int, size: int) -> Shapes:
    return {f"{name}.weight": (made, given, size, size), f"{name}.bias": (made,)}


def diffusion_shapes() -> Shapes:
    """`DiffusionTransformer` of the code, with its `Text2ImageTransformer` and `CLIPTextEmbedding`."""
    shapes: Shapes = {
        "transformer.content_emb.emb.weight": (CLASSES, WIDTH),
        "transformer.content_emb.height_emb.weight": (BANDS, WIDTH),
        "transformer.content_emb.width_emb.weight": (FRAMES, WIDTH),
        **norm("transformer.to_logits.0", WIDTH),
        **linear("transformer.to_logits.1", WIDTH, CLASSES - 1),
        "condition_emb.token_embedding.weight": (len(VOCABULARY), WIDTH),
        "condition_emb.positional_embedding": (77, WIDTH),
        "condition_emb.text_projection": (WIDTH, WIDTH),
        **norm("condition_emb.ln_final", WIDTH),
    }
    for number in range(2):
        block = f"transformer.blocks.{number}"
        for name in ("ln1", "ln1_1"):
            shapes |= {
                f"{block}.{name}.emb.weight": (STEPS, WIDTH),
                **linear(f"{block}.{name}.linear", WIDTH, 2 * WIDTH),
            }
        for attention in ("attn1", "attn2"):
            for part in ("key", "query", "value", "proj"):
                shapes |= linear(f"{block}.{attention}.{part}", WIDTH, WIDTH)
        shapes[f"{block}.attn2.mask"] = (1, 1, BANDS * FRAMES, BANDS * FRAMES)
        shapes |= (
            norm(f"{block}.ln2", WIDTH)
            | linear(f"{block}.mlp.0", WIDTH, 4 * WIDTH)
            | linear(f"{block}.mlp.2", 4 * WIDTH, WIDTH)
        )
    layer = "condition_emb.transformer.resblocks.0"
    shapes |= {f"{layer}.attn.in_proj_weight": (3 * WIDTH, WIDTH), f"{layer}.attn.in_proj_bias": (3 * WIDTH,)}
    shapes |= (
        linear(f"{layer}.attn.out_proj", WIDTH, WIDTH) | norm(f"{layer}.ln_1", WIDTH) | norm(f"{layer}.ln_2", WIDTH)
    )
    return shapes | linear(f"{layer}.mlp.c_fc", WIDTH, 96) | linear(f"{layer}.mlp.c_proj", 96, WIDTH)


def codec_shapes() -> Shapes:
    """`VQModel` of the code, its decoding half, with two levels of 32 and 64 channels."""
    top, low, inner = 32, 64, 8
    shapes: Shapes = {"quantize.embedding.weight": (CODES, inner), **conv("post_quant_conv", inner, inner, 1)}

    def residual(name: str, given: int, made: int) -> Shapes:
        made_of = norm(f"{name}.norm1", given) | conv(f"{name}.conv1", given, made, 3)
        made_of |= norm(f"{name}.norm2", made) | conv(f"{name}.conv2", made, made, 3)
        return made_of if given == made else made_of | conv(f"{name}.nin_shortcut", given, made, 1)

    def attention(name: str) -> Shapes:
        parts = {
            key: value
            for part in ("q", "k", "v", "proj_out")
            for key, value in conv(f"{name}.{part}", low, low, 1).items()
        }
        return norm(f"{name}.norm", low) | parts

    decoder = conv("conv_in", inner, low, 3) | residual("mid.block_1", low, low) | residual("mid.block_2", low, low)
    decoder |= attention("mid.attn_1") | norm("norm_out", top) | conv("conv_out", top, 1, 3)
    for block in range(2):
        decoder |= residual(f"up.1.block.{block}", low, low) | attention(f"up.1.attn.{block}")
        decoder |= residual(f"up.0.block.{block}", low if block == 0 else top, top)
    decoder |= conv("up.1.upsample.conv", low, low, 3)
    return shapes | {f"decoder.{name}": shape for name, shape in decoder.items()} | conv("encoder.conv_in", 1, top, 3)


def vocoder_shapes() -> Shapes:
    """MelGAN's generator with 4 x 2 bands, 2 channels at its end and one residual block a stage."""

    def normed(name: str, *shape: int) -> Shapes:
        first = shape[0]
        made = shape[1] if len(shape) == 4 else first  # a transposed convolution has its outputs second
        return {f"{name}.weight_g": (first, 1, 1), f"{name}.weight_v": shape[:3], f"{name}.bias": (made,)}

    width, place = 2 * 16, 2
    shapes = normed("model.1", width, 2 * BANDS, 7)
    for ratio in (8, 8, 2, 2):
        shapes |= normed(f"model.{place + 1}", width, width // 2, 2 * ratio, 0)
        width //= 2
        shapes |= normed(f"model.{place + 2}.block.2", width, width, 3) | normed(
            f"model.{place + 2}.block.4", width, width, 1
        )
        shapes |= normed(f"model.{place + 2}.shortcut", width, width, 1)
        place += 3
    return shapes | normed(f"model.{place + 2}", 1, 2, 7)


def drawn(shapes: Shapes, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def schedule() -> dict[str, Tensor]:
    """`alpha_schedule` of the code: alpha falls, the mask's share rises to 0.9, the rest goes to all classes."""
    alpha = torch.cat([torch.ones(1), torch.linspace(0.99999, 0.000009, STEPS)]).double()
    mask = torch.cat([torch.zeros(1), torch.linspace(0.000009, 0.9, STEPS)]).double()
    a, c = alpha[1:] / alpha[:-1], 1 - (1 - mask[1:]) / (1 - mask[:-1])
    b = (1 - a - c) / CLASSES
    whole_a, whole_c = torch.cat([alpha[1:], torch.ones(1)]), torch.cat([mask[1:], torch.zeros(1)])
    whole_b = (1 - whole_a - whole_c) / CLASSES
    values = {"at": a, "bt": b, "ct": c, "cumprod_at": whole_a, "cumprod_bt": whole_b, "cumprod_ct": whole_c}
    return {f"log_{name}": value.clamp(min=1e-30).log().float() for name, value in values.items()}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("downloaded")
    for name in ("diffsound", "clip-tokenizer"):
        (folder / name).mkdir()
    diffusion = drawn(diffusion_shapes(), 1) | schedule()
    model = {f"transformer.{name}": value for name, value in diffusion.items()}
    model |= {f"content_codec.{name}": value for name, value in drawn(codec_shapes(), 2).items()}
    averaged = diffusion | {"transformer.to_logits.1.bias": torch.zeros(CLASSES - 1)}
    torch.save({"model": model, "ema": averaged, "last_epoch": 3}, folder / "diffsound" / "diffsound.pth")
    torch.save(drawn(vocoder_shapes(), 3), folder / "diffsound" / "best_netG.pt")
    words = {word: number for number, word in enumerate(VOCABULARY)}
    (folder / "clip-tokenizer" / "vocab.json").write_text(json.dumps(words), encoding="utf-8")
    (folder / "clip-tokenizer" / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return folder


def reference(tensors: dict[str, Tensor], tokens: Tensor, states: Tensor, time: int) -> Tensor:
    """The published transformer by its equations: log-probabilities [classes, tokens] of x_0."""

    def apply(name: str, x: Tensor) -> Tensor:
        return functional.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    def adapted(name: str, x: Tensor) -> Tensor:
        scale, shift = apply(f"{name}.linear", functional.silu(tensors[f"{name}.emb.weight"][time])).chunk(2)
        return functional.layer_norm(x, (WIDTH,)) * (1 + scale) + shift

    def attended(name: str, x: Tensor, others: Tensor) -> Tensor:
        query, key, value = apply(f"{name}.query", x), apply(f"{name}.key", others), apply(f"{name}.value", others)
        return apply(f"{name}.proj", (query @ key.T / WIDTH**0.5).softmax(dim=-1) @ value)

    place = tensors["content_emb.height_emb.weight"][:, None] + tensors["content_emb.width_emb.weight"][None]
    x = tensors["content_emb.emb.weight"][tokens] + place.reshape(-1, WIDTH)
    for number in range(2):
        block = f"blocks.{number}"
        inside = adapted(f"{block}.ln1", x)
        x = x + attended(f"{block}.attn1", inside, inside)
        x = x + attended(f"{block}.attn2", adapted(f"{block}.ln1_1", x), states)
        given = functional.layer_norm(x, (WIDTH,), tensors[f"{block}.ln2.weight"], tensors[f"{block}.ln2.bias"])
        inner = apply(f"{block}.mlp.0", given)
        x = x + apply(f"{block}.mlp.2", inner * torch.sigmoid(1.702 * inner))
    last = functional.layer_norm(x, (WIDTH,), tensors["to_logits.0.weight"], tensors["to_logits.0.bias"])
    return apply("to_logits.1", last).log_softmax(dim=-1).T


def test_the_denoiser_is_the_published_one(files: Path) -> None:
    model = load_diffsound(
        files / "diffsound/diffsound.pth", files / "diffsound/best_netG.pt", files / "clip-tokenizer", unheard
    )
    tokens = torch.arange(BANDS * FRAMES) % CLASSES
    states = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(4))
    content = torch.load(files / "diffsound/diffsound.pth", weights_only=True)["ema"]
    tensors = {
        name.removeprefix("transformer."): value for name, value in content.items() if name.startswith("transformer.")
    }
    model.denoiser.double()
    tensors, states = {name: value.double() for name, value in tensors.items()}, states.double()
    for time in (0, 63):
        expected = reference(tensors, tokens, states, time)
        with torch.inference_mode():
            given = model.denoiser(
                tokens[None], encoder_hidden_states=states[None], timestep=torch.tensor(time), return_dict=False
            )[0][0]
        assert torch.allclose(given.double(), expected, atol=1e-5), float((given - expected).abs().max())


def test_what_is_unlikely_is_left_out() -> None:
    given = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()[None, :, None]
    kept = truncated(given, 0.85)[0, :, 0]
    assert torch.equal(kept[:3], given[0, :3, 0]) and kept[3] == -70.0


def test_installed_from_files_of_one_s_own_and_run(files: Path, tmp_path: Path) -> None:
    Store(tmp_path).install_from("diffsound", files, lambda line: None)
    backend = make(unheard, "diffsound", tmp_path)
    seen: list[float] = []

    def report(stage: str, fraction: float) -> None:
        if stage == "denoising":
            seen.append(fraction)

    request = GenerationRequest.create("rain", seconds=0.1, variations=2, seed=1, model="diffsound")
    first, second = (take.samples for take in backend.render(request, report))
    assert first.shape == (1, round(0.1 * 22_050)) and np.isfinite(first).all() and first.std() > 0.0
    assert len(seen) == 2 * STEPS and seen[:STEPS] == sorted(seen[:STEPS])
    assert not np.array_equal(first, second)
    alone = GenerationRequest.create("rain", seconds=0.1, seed=2, model="diffsound")
    assert np.array_equal(next(iter(backend.render(alone, unheard))).samples, second)

    def leave(stage: str, fraction: float) -> None:
        if stage == "denoising":
            raise Cancelled

    with pytest.raises(Cancelled):
        list(backend.render(alone, leave))
    with pytest.raises(InvalidInput, match="100 steps and no guidance"):
        asked = GenerationRequest.create("rain", seconds=0.1, model="diffsound", sampling=Sampling(steps=20))
        list(backend.render(asked, unheard))


def test_another_file_is_refused(files: Path, tmp_path: Path) -> None:
    with pytest.raises(DcldmError, match="does not hold Diffsound"):
        load_diffsound(
            files / "diffsound/best_netG.pt", files / "diffsound/best_netG.pt", files / "clip-tokenizer", unheard
        )
    with pytest.raises(DcldmError, match="dcldm models install diffsound"):
        make(unheard, "diffsound", tmp_path)
