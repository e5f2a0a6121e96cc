"""The paper's sizes with random weights on this machine: what each part costs beside what it is compared with.

Every row stands beside its floor, the operations over the rate of a large matrix product in the same run, and
only ratios are held. Seconds are the processor's, of all threads, so that what else a busy machine does counts
little. Needs some 16 GB of memory and minutes; one test after the other:

    OMP_WAIT_POLICY=PASSIVE python -m pytest -m full_size -s tests/benchmarks/test_full_size.py

The last test runs this file as a program, so that the memory that it measures is the chain's alone.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    BatchEncoding,
    EncodecConfig,
    EncodecModel,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    T5Config,
    T5EncoderModel,
)
from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.models.acoustic_lm import sample_codes
from dcldm_plugin.models.audiocraft import import_audiocraft
from dcldm_plugin.models.audioldm import HifiGan
from dcldm_plugin.models.dcldm import FULL_SIZE_DEFAULTS, ChainConfig, DualConditionedLatentDiffusion
from dcldm_plugin.models.denoiser import Conditions
from dcldm_plugin.models.device import Placement, quantised
from dcldm_plugin.models.latent import LatentSpace, MelRange
from dcldm_plugin.models.plan import PlanModel
from dcldm_plugin.models.text import TextEncoder
from dcldm_plugin.models.unet import DualUNet, tango_config
from dcldm_plugin.types import Sampling, Seeds, unheard

pytestmark = [pytest.mark.full_size, pytest.mark.timeout(3600)]

UNET = tango_config()
PLAN = {"hidden_size": 1536, "ffn_dim": 6144, "num_hidden_layers": 48, "num_attention_heads": 24}  # AudioGen-medium
CODES, CODEBOOKS, TEXT_WIDTH, TOKENS = 2048, 4, 1024, 16
T5_LARGE = {"d_model": TEXT_WIDTH, "d_ff": 4096, "num_layers": 24, "num_heads": 16, "feed_forward_proj": "relu"}
FLAN_T5_LARGE = T5_LARGE | {"d_ff": 2816, "feed_forward_proj": "gated-gelu"}
LATENT = (8, 256, 16)  # channels, time, bands: 10.24 s
PLAN_FRAMES = 512
DECODED_FRAMES = 12
MEMORY_LIMIT = 8e9
Module = TypeVar("Module", bound=nn.Module)


def filled(module: Module, dtype: torch.dtype = torch.float32) -> Module:
    """Random values for every parameter that is still on the meta device."""
    numbers = torch.randn(1_000_003).mul_(0.02).to(dtype)  # repeated: to draw a billion takes longer than to use it
    for owner in module.modules():
        for name, parameter in owner._parameters.items():
            if parameter is not None and parameter.is_meta:
                if parameter.dim() > 1:
                    times = -(-parameter.numel() // numbers.numel())
                    value = numbers.repeat(times)[: parameter.numel()].view(parameter.shape).clone()
                else:
                    value = torch.full(parameter.shape, float(name == "weight"), dtype=dtype)
                owner._parameters[name] = nn.Parameter(value, requires_grad=False)
    return module.eval()


def new_unet(
    places: tuple[str, ...] = ("down", "up"), block: Any = "faithful", base: DualUNet | None = None
) -> DualUNet:
    """A U-Net at full size, which may share the tensors that TANGO has with another one."""
    with torch.device("meta"):
        unet = DualUNet(UNET, places, block=block)
    if base is not None:
        unet.load_state_dict(base.state_dict(), strict=False, assign=True)
    return filled(unet)


def new_plan_model(dtype: torch.dtype) -> PlanModel:
    """AudioGen-medium's language model."""
    special: dict[str, Any] = {"vocab_size": CODES, "num_codebooks": CODEBOOKS, "pad_token_id": CODES}
    with torch.device("meta"):
        model = PlanModel(MusicgenDecoderConfig(**special, **PLAN, bos_token_id=CODES, dropout=0.0), TEXT_WIDTH)
    positions = model.lm.model.decoder.embed_positions
    positions.weights = positions.get_embedding(positions.num_positions, PLAN["hidden_size"]).to(dtype)
    return filled(model, dtype)


def new_text_encoder(sizes: dict[str, Any]) -> TextEncoder:
    """A T5 whose tokenizer turns any text into as many tokens."""

    def tokens(texts: list[str], **keywords: object) -> BatchEncoding:
        ids = torch.arange(TOKENS).repeat(len(texts), 1)
        return BatchEncoding({"input_ids": ids, "attention_mask": torch.ones_like(ids)})

    with torch.device("meta"):
        encoder = T5EncoderModel(T5Config(**sizes, vocab_size=32_128, d_kv=64))
    return TextEncoder(tokens, filled(encoder))


def new_vae() -> AutoencoderKL:
    """AudioLDM's."""
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        block_out_channels=(128, 256, 512),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=2,
        latent_channels=LATENT[0],
    )


def new_vocoder() -> HifiGan:
    """AudioLDM's."""
    config = SpeechT5HifiGanConfig(
        model_in_dim=64,
        sampling_rate=16_000,
        upsample_initial_channel=1024,
        upsample_rates=[5, 4, 2, 2, 2],
        upsample_kernel_sizes=[16, 16, 8, 4, 4],
        normalize_before=False,
    )
    return HifiGan(SpeechT5HifiGan(config))


def new_codec() -> EncodecModel:
    """AudioGen's EnCodec."""
    return EncodecModel(
        EncodecConfig(
            sampling_rate=16_000,
            target_bandwidths=[(CODEBOOKS + 0.5) * 50 * 11 / 1000],
            upsampling_ratios=[8, 5, 4, 2],
            num_filters=64,
            hidden_size=128,
            codebook_size=CODES,
            use_causal_conv=False,
        )
    )


def told(batch: int) -> Conditions:
    """Conditions of full size."""
    mask = torch.ones(batch, TOKENS, dtype=torch.bool)
    return Conditions(torch.randn(batch, TOKENS, TEXT_WIDTH), mask, torch.randn(batch, PLAN_FRAMES, 128))


def matrix_rate() -> float:
    """Operations a second of a 2048 x 2048 product, the best of five."""
    a = torch.randn(2048, 2048)
    return 2 * 2048**3 / min(seconds(lambda: a @ a) for _ in range(5))


def seconds(work: Callable[[], object]) -> float:
    """Of the processor."""
    started = time.process_time()
    work()
    return time.process_time() - started


def operations(work: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def operations_of_the_unet(places: tuple[str, ...] = ("down", "up"), block: Any = "faithful", batch: int = 1) -> float:
    """Of one evaluation, counted on the meta device."""
    with torch.device("meta"), torch.no_grad():
        unet = DualUNet(UNET, places, block=block)
        return operations(lambda: unet(torch.zeros(batch, *LATENT), torch.zeros(batch), told(batch)))


def show(title: str, rows: dict[str, tuple[float, float]]) -> None:
    """Rows: measured and floor, in seconds; the first is what the others are compared with."""
    first = next(iter(rows.values()))[0]
    print(f"\n{title:<44}{'s':>9}{'x first':>9}{'floor s':>9}{'x floor':>9}")
    for name, (measured, floor) in rows.items():
        print(f"{name:<44}{measured:9.2f}{measured / first:9.2f}{floor:9.2f}{measured / floor:9.1f}")


@torch.inference_mode()
def test_a_faithful_block_costs_a_third_at_most_and_a_light_one_nothing() -> None:
    base = new_unet(())
    networks = {
        "TANGO": base,
        "faithful": new_unet(base=base),
        "light": new_unet(block="light", base=base),
    }
    z, t, given, rate = torch.randn(1, *LATENT), torch.tensor([500]), told(1), matrix_rate()
    floors = {
        "TANGO": operations_of_the_unet(()) / rate,
        "faithful": operations_of_the_unet() / rate,
        "light": operations_of_the_unet(block="light") / rate,
    }
    best = dict.fromkeys(networks, float("inf"))
    for _ in range(2):  # in turn, so that what else the machine does hits them all
        for name, network in networks.items():
            best[name] = min(best[name], seconds(lambda n=network: n(z, t, given)))
    show("one evaluation of the U-Net", {name: (best[name], floors[name]) for name in networks})
    assert best["faithful"] <= 1.3 * best["TANGO"]
    assert best["light"] <= 1.05 * best["TANGO"]


def audiocraft_language_model() -> Any:
    """AudioGen-medium's language model as audiocraft builds it, told random states in the place of T5's."""
    import_audiocraft()
    conditioners = import_module("audiocraft.modules.conditioners")
    patterns = import_module("audiocraft.modules.codebooks_patterns")
    language_model = import_module("audiocraft.models.lm").LMModel

    class Given(conditioners.TextConditioner):  # type: ignore[misc, name-defined]
        def tokenize(self, texts: list[str | None]) -> list[str | None]:
            return texts

        def forward(self, texts: list[str | None]) -> tuple[Tensor, Tensor]:
            there = torch.tensor([[text is not None] for text in texts])
            mask = there.int().expand(-1, TOKENS)
            return self.output_proj(torch.randn(len(texts), TOKENS, TEXT_WIDTH)) * mask[..., None], mask

    width = PLAN["hidden_size"]
    with torch.device("meta"):
        given = Given(TEXT_WIDTH, width)
        nothing: dict[str, list[str]] = {"sum": [], "prepend": [], "input_interpolate": []}
        model = language_model(
            patterns.DelayedPatternProvider(CODEBOOKS, delays=list(range(CODEBOOKS))),
            conditioners.ConditioningProvider({"description": given}, device="cpu"),
            conditioners.ConditionFuser({"cross": ["description"], **nothing}),
            n_q=CODEBOOKS,
            card=CODES,
            dim=width,
            num_heads=PLAN["num_attention_heads"],
            num_layers=PLAN["num_hidden_layers"],
            hidden_scale=PLAN["ffn_dim"] // width,
            norm_first=True,
            bias_proj=False,
            bias_ff=False,
            bias_attn=False,
            activation="gelu",
            dropout=0.0,
            causal=True,
            memory_efficient=True,
            cross_attention=True,
            cfg_coef=3.0,
        )
    return filled(model)


def seconds_of_audiocraft() -> float:
    """Its own loop over `DECODED_FRAMES`, in float32, which is all that it offers on a CPU."""
    model = audiocraft_language_model()
    attributes = import_module("audiocraft.modules.conditioners").ConditioningAttributes
    wanted = [attributes(text={"description": "rain"})]
    model.generate(conditions=wanted, max_gen_len=2)
    return seconds(lambda: model.generate(conditions=wanted, max_gen_len=DECODED_FRAMES, top_k=250))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@torch.inference_mode()
def test_our_decode_loop_against_audiocrafts() -> None:
    rows: dict[str, tuple[float, float]] = {}
    rate, steps = matrix_rate(), DECODED_FRAMES + CODEBOOKS - 1
    try:
        their_seconds = seconds_of_audiocraft()
    except DcldmError as error:
        pytest.skip(str(error))
    gc.collect()

    ours = new_plan_model(torch.float32)
    states = torch.randn(1, TOKENS, TEXT_WIDTH)

    def our_loop(frames: int) -> Tensor:
        return sample_codes(
            ours.lm, ours.enc_to_dec_proj(states), None, frames, generators=[torch.Generator().manual_seed(0)]
        )

    floor = operations(lambda: our_loop(1)) / CODEBOOKS * steps / rate
    rows["audiocraft, float32"] = (their_seconds, floor)
    rows["ours, float32"] = (seconds(lambda: our_loop(DECODED_FRAMES)), floor)
    ours = quantised(ours)
    our_loop(2)
    rows["ours, 8 bits"] = (seconds(lambda: our_loop(DECODED_FRAMES)), floor)
    show(f"{steps} steps of AudioGen, guided", rows)
    assert their_seconds >= 3.0 * rows["ours, 8 bits"][0]


class Counting(nn.Module):
    """Notes how many latents each evaluation has."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.batches: list[int] = []

    def forward(self, z: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        self.batches.append(len(z))
        return z * self.scale


def evaluations(sampling: Sampling) -> list[int]:
    """How many latents each evaluation of a clip has: 2 where it is guided."""
    counting = Counting()
    space = LatentSpace(AutoencoderKL(latent_channels=LATENT[0]), LATENT[2], MelRange())
    chain = DualConditionedLatentDiffusion(ChainConfig(), None, None, None, counting, space, lambda mel: mel)
    chain.denoise(torch.randn(1, *LATENT), told(2), sampling, unheard)
    return counting.batches


@torch.inference_mode()
def test_the_default_settings_against_200_guided_steps() -> None:
    ours = evaluations(FULL_SIZE_DEFAULTS.fill(Sampling()))
    papers = evaluations(Sampling("ddpm", 200, FULL_SIZE_DEFAULTS.guidance_scale, (0.0, 1.0)))
    assert papers == [2] * 200
    assert len(ours) <= 25
    assert 0 < ours.count(2) < len(ours)

    network, rate = new_unet(), matrix_rate()
    each = {}
    for batch in (1, 2):
        z, t, given = torch.randn(batch, *LATENT), torch.full((batch,), 500), told(batch)
        floor = operations_of_the_unet(batch=batch) / rate
        each[batch] = (seconds(lambda z=z, t=t, given=given: network(z, t, given)), floor)
    cost = {
        name: (sum(each[batch][0] for batch in batches), sum(each[batch][1] for batch in batches))
        for name, batches in (("200 guided DDPM steps", papers), ("default settings", ours))
    }
    show("one evaluation", {"unguided": each[1], "guided": each[2]})
    show("a clip's evaluations, from one timed evaluation", cost)
    assert cost["200 guided DDPM steps"][0] >= 8.0 * cost["default settings"][0]


def test_a_clip_end_to_end_in_eight_gigabytes() -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run([sys.executable, __file__], capture_output=True, text=True, timeout=3400, env=environment)
    assert run.returncode == 0, run.stderr[-3000:]
    result = json.loads(run.stdout.splitlines()[-1])
    print(f"\n{'stage':<24}{'s':>9}{'floor s':>9}{'peak GB':>9}")
    for stage, (taken, floor, peak) in result["stages"].items():
        print(f"{stage:<24}{taken:9.1f}{floor:9.2f}{peak / 1e9:9.2f}")
    assert result["finite"]
    assert result["samples"] == 160_000
    assert max(peak for _, _, peak in result["stages"].values()) < MEMORY_LIMIT
    assert "planning" not in result["stages_of_a_variation"]


class Watch:
    """Time and largest resident memory of each stage, sampled by a thread of its own."""

    def __init__(self) -> None:
        self.stages: dict[str, list[float]] = {}  # seconds, floor, bytes
        self.stage, self.since = "starting", time.process_time()
        self.enter("starting")
        threading.Thread(target=self._sample, daemon=True).start()

    def enter(self, stage: str) -> None:
        now = time.process_time()
        self.stages.setdefault(self.stage, [0.0, 0.0, 0.0])[0] += now - self.since
        self.stages.setdefault(stage, [0.0, 0.0, 0.0])
        self.stage, self.since = stage, now

    def __call__(self, stage: str, fraction: float) -> None:
        if stage != self.stage:
            self.enter(stage)

    def _sample(self) -> None:
        process = psutil.Process()
        while True:
            row = self.stages[self.stage]
            row[2] = max(row[2], float(process.memory_info().rss))
            time.sleep(0.02)


def floors(steps: int, rate: float) -> dict[str, float]:
    """Seconds of each stage's operations at the matrix rate, counted on the meta device."""
    weights = sum(2 * p.numel() for p in new_meta_layers())
    evaluation = operations_of_the_unet()
    with torch.device("meta"), torch.no_grad():
        vae, vocoder = new_vae(), new_vocoder()
        decoding = operations(lambda: vae.decode(torch.zeros(1, *LATENT)))
        decoding += operations(lambda: vocoder.network(torch.zeros(1, 4 * LATENT[1], 64)))
    planning = weights * (PLAN_FRAMES + CODEBOOKS - 1) * 3  # the prompt guided, the empty text alone
    return {
        "denoising": evaluation * (steps + steps // 2) / rate,  # every second step is guided
        "decoding": decoding / rate,
        "planning": planning / rate,
    }


def new_meta_layers() -> list[nn.Parameter]:
    """The parameters of the language model that every step multiplies with."""
    with torch.device("meta"):
        model = PlanModel(MusicgenDecoderConfig(vocab_size=CODES, num_codebooks=CODEBOOKS, **PLAN), TEXT_WIDTH)
    once = ("encoder_attn.k_proj", "encoder_attn.v_proj", "embed_tokens")  # those of the text, and tables
    return [value for name, value in model.lm.named_parameters() if not any(part in name for part in once)]


def main() -> None:
    """Render a clip and a variation of it, each part loaded for its stage; print what they took as JSON."""
    rate, steps, watch = matrix_rate(), 2, Watch()

    def loader(name: str, make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        def load() -> nn.Module:
            watch.enter(f"loading {name}")
            return make()

        return load

    loaders = {
        "text": loader("text", lambda: new_text_encoder(FLAN_T5_LARGE)),
        "plan_text": loader("plan_text", lambda: new_text_encoder(T5_LARGE)),
        "plan_model": loader("plan_model", lambda: quantised(new_plan_model(torch.float16))),
        "denoiser": loader("denoiser", new_unet),
    }
    config = ChainConfig(
        shortest_steps=LATENT[1],
        longest_steps=LATENT[1],
        defaults=FULL_SIZE_DEFAULTS,
        zero_padding=True,
        stored_empty_plan=False,
    )
    chain = DualConditionedLatentDiffusion(
        config,
        None,
        None,
        new_codec(),
        None,
        LatentSpace(new_vae(), LATENT[2], MelRange()),
        new_vocoder(),
        placement=Placement(keep="disk"),
        loaders=loaders,
    )
    chain.eval().requires_grad_(False)
    sampling = Sampling("dpm++", steps, 4.0, (0.25, 0.75))
    audio = chain.generate("rain on a roof", "", 10.0, Seeds(1, 1), sampling, watch)
    watch.enter("end")
    first = {stage: list(row) for stage, row in watch.stages.items() if stage != "end"}
    for stage, floor in floors(steps, rate).items():
        first[stage][1] = floor
    of_a_variation: list[str] = []
    chain.generate(
        "rain on a roof",
        "",
        10.0,
        Seeds(1, 2),
        Sampling("dpm++", 1, 1.0),
        lambda stage, fraction: of_a_variation.append(stage),
    )
    result = {
        "stages": first,
        "stages_of_a_variation": list(dict.fromkeys(of_a_variation)),
        "samples": audio.numel(),
        "finite": bool(torch.isfinite(audio).all()),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
