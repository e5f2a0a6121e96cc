"""Tiny random audio pipelines, written by diffusers' own `save_pretrained`: the true layout, and no weights."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AudioLDM2Pipeline,
    AudioLDM2ProjectionModel,
    AudioLDM2UNet2DConditionModel,
    AudioLDMPipeline,
    AutoencoderKL,
    AutoencoderOobleck,
    CosineDPMSolverMultistepScheduler,
    DDIMScheduler,
    MusicLDMPipeline,
    StableAudioDiTModel,
    StableAudioPipeline,
    StableAudioProjectionModel,
    UNet2DConditionModel,
)
from transformers import (
    ClapAudioConfig,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapTextConfig,
    ClapTextModelWithProjection,
    GPT2Config,
    GPT2LMHeadModel,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3Model,
    RobertaTokenizer,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
    UMT5Config,
    UMT5EncoderModel,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECES = ["<pad>", "</s>", "<unk>", "▁", *LETTERS]
RATE = 16_000
STEREO_RATE = 44_100
LONGCAT_RATE = 24_000
ACE_STEP_RATE = 48_000
WIDTH = 16


def _tokenizer() -> Any:
    vocabulary = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", "Ġ", *LETTERS])}
    return RobertaTokenizer(vocab=vocabulary, merges=[], model_max_length=16)


def _t5_tokenizer() -> Any:
    return T5Tokenizer(vocab=[(piece, -float(n)) for n, piece in enumerate(PIECES)], extra_ids=0, model_max_length=16)


def _t5() -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(vocab_size=len(PIECES) + 2, d_model=WIDTH, d_kv=8, d_ff=16, num_layers=1, num_heads=2, pad_token_id=0)
    ).eval()


def _clap() -> ClapConfig:
    text = ClapTextConfig(
        vocab_size=64, hidden_size=WIDTH, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        projection_dim=WIDTH, max_position_embeddings=40,
    )  # fmt: skip
    audio = ClapAudioConfig(
        spec_size=64, window_size=4, num_mel_bins=64, intermediate_size=37, depths=[1, 1], num_attention_heads=[2, 2],
        num_hidden_layers=2, hidden_size=192, patch_size=2, patch_stride=2, patch_embed_input_channels=4,
    )  # fmt: skip
    return ClapConfig(text_config=text.to_dict(), audio_config=audio.to_dict(), projection_dim=WIDTH)


def _sound_parts() -> dict[str, Any]:
    """What AudioLDM's line shares: VAE, vocoder and schedule."""
    vae = AutoencoderKL(
        in_channels=1, out_channels=1, block_out_channels=(16, 16, 16), layers_per_block=1, latent_channels=8,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3, norm_num_groups=8,
    )  # fmt: skip
    vocoder = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=64, sampling_rate=RATE, upsample_initial_channel=32, upsample_rates=[5, 4, 2, 2, 2],
            upsample_kernel_sizes=[16, 16, 8, 4, 4], resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3]],
            normalize_before=False,
        )
    )  # fmt: skip
    scheduler = DDIMScheduler(
        beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    )  # fmt: skip
    return {"vae": vae.eval(), "vocoder": vocoder.eval(), "scheduler": scheduler}


def _drawn(module: Any, std: float) -> Any:
    """Every parameter at random: some begin at zero, and let nothing through."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return module.eval()


def _oobleck(rate: int, ratios: list[int]) -> AutoencoderOobleck:
    return AutoencoderOobleck(
        encoder_hidden_size=8, downsampling_ratios=ratios, channel_multiples=[1, 1, 1], decoder_channels=8,
        decoder_input_channels=4, audio_channels=2, sampling_rate=rate,
    )  # fmt: skip


def _of_one_vector() -> UNet2DConditionModel:
    """A U-Net that is told a CLAP vector in place of a class, and has no cross-attention to text."""
    return UNet2DConditionModel(
        block_out_channels=(16, 32), layers_per_block=1, sample_size=32, in_channels=8, out_channels=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=(16, 32), class_embed_type="simple_projection", attention_head_dim=4, norm_num_groups=8,
        projection_class_embeddings_input_dim=WIDTH, class_embeddings_concat=True,
    ).eval()  # fmt: skip


def write_audioldm(folder: Path) -> Path:
    torch.manual_seed(1)
    unet, text = _of_one_vector(), ClapTextModelWithProjection(_clap().text_config).eval()
    pipeline = AudioLDMPipeline(text_encoder=text, tokenizer=_tokenizer(), unet=unet, **_sound_parts())
    pipeline.save_pretrained(folder)
    return folder


def write_musicldm(folder: Path) -> Path:
    torch.manual_seed(7)
    pipeline = MusicLDMPipeline(
        text_encoder=ClapModel(_clap()).eval(),
        tokenizer=_tokenizer(),
        feature_extractor=ClapFeatureExtractor(),
        unet=_of_one_vector(),
        **_sound_parts(),
    )
    pipeline.save_pretrained(folder)
    return folder


def write_audioldm2(folder: Path) -> Path:
    """AudioLDM 2, with the class of its language model as the hub's `model_index.json` has it."""
    torch.manual_seed(2)
    clap = ClapModel(_clap()).eval()
    gpt = GPT2LMHeadModel(
        GPT2Config(n_embd=16, n_head=2, n_layer=1, n_positions=99, vocab_size=40, bos_token_id=1, eos_token_id=2)
    ).eval()
    gpt.config.max_new_tokens = 8
    unet = AudioLDM2UNet2DConditionModel(
        block_out_channels=(16, 32), layers_per_block=1, sample_size=32, in_channels=8, out_channels=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=((16, WIDTH), (16, WIDTH)), attention_head_dim=4, norm_num_groups=8,
    )  # fmt: skip
    projection = AudioLDM2ProjectionModel(text_encoder_dim=WIDTH, text_encoder_1_dim=WIDTH, langauge_model_dim=16)
    pipeline = AudioLDM2Pipeline(
        text_encoder=clap,
        text_encoder_2=_t5(),
        projection_model=projection.eval(),
        language_model=gpt,
        tokenizer=_tokenizer(),
        tokenizer_2=_t5_tokenizer(),
        feature_extractor=ClapFeatureExtractor(),
        unet=unet.eval(),
        **_sound_parts(),
    )
    pipeline.save_pretrained(folder)
    gpt.transformer.save_pretrained(folder / "language_model")  # and its file has no head either
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    index["language_model"] = ["transformers", "GPT2Model"]
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def write_stable_audio(folder: Path) -> Path:
    """Stable Audio Open: at most 200 steps of 64 samples, in stereo."""
    torch.manual_seed(3)
    vae = _oobleck(STEREO_RATE, [4, 4, 4])
    transformer = StableAudioDiTModel(
        sample_size=200, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=2,
        num_key_value_attention_heads=2, cross_attention_dim=16, time_proj_dim=8, global_states_input_dim=2 * WIDTH,
        cross_attention_input_dim=WIDTH,
    )  # fmt: skip
    projection = StableAudioProjectionModel(text_encoder_dim=WIDTH, conditioning_dim=WIDTH, min_value=0, max_value=512)
    scheduler = CosineDPMSolverMultistepScheduler(
        sigma_min=0.3, sigma_max=500.0, sigma_data=1.0, sigma_schedule="exponential", solver_order=2,
        prediction_type="v_prediction",
    )  # fmt: skip
    pipeline = StableAudioPipeline(
        vae=_drawn(vae, 0.3),
        text_encoder=_t5(),
        projection_model=projection.eval(),
        tokenizer=_t5_tokenizer(),
        transformer=transformer.eval(),
        scheduler=scheduler,
    )
    pipeline.save_pretrained(folder)
    return folder


def write_stable_audio_3(folder: Path) -> Path:
    """Stable Audio 3, distilled. Raises `ImportError` where diffusers has none yet."""
    from diffusers import (
        AutoencoderSAME,
        FlowMatchEulerDiscreteScheduler,
        StableAudio3DiTModel,
        StableAudio3DurationEmbedder,
        StableAudio3Pipeline,
    )
    from transformers import GemmaTokenizer, T5GemmaConfig, T5GemmaEncoderModel
    from transformers.models.t5gemma.configuration_t5gemma import T5GemmaModuleConfig

    torch.manual_seed(4)
    vae = AutoencoderSAME(
        patch_size=16, encoder_channels=8, encoder_c_mults=(2,), encoder_strides=(4,), encoder_transformer_depths=(1,),
        latent_dim=8, dim_heads=8, sampling_rate=STEREO_RATE,
    )  # fmt: skip
    transformer = StableAudio3DiTModel(
        io_channels=8, embed_dim=16, depth=1, num_heads=2, cond_token_dim=WIDTH, global_cond_dim=WIDTH,
        local_add_cond_dim=9, timestep_features_dim=8, ff_mult=2.0, num_memory_tokens=2,
    )  # fmt: skip
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "▁", *LETTERS])}
    module = T5GemmaModuleConfig(
        vocab_size=64, hidden_size=WIDTH, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=300,
    )  # fmt: skip
    config = T5GemmaConfig(encoder=module, decoder=module, is_encoder_decoder=False)
    pipeline = StableAudio3Pipeline(
        vae=_drawn(vae, 0.3),
        text_encoder=T5GemmaEncoderModel(config).eval(),
        tokenizer=GemmaTokenizer(vocab=vocabulary, merges=[], model_max_length=16),
        duration_embedder=StableAudio3DurationEmbedder(output_dim=WIDTH, fourier_dim=8).eval(),
        transformer=transformer.eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(stochastic_sampling=True),
    )
    pipeline.save_pretrained(folder)
    return folder


def write_longcat(folder: Path) -> Path:
    """LongCat-AudioDiT, in latent frames of 64 samples. Raises `ImportError` where diffusers has none yet."""
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        LongCatAudioDiTPipeline,
        LongCatAudioDiTTransformer,
        LongCatAudioDiTVae,
    )

    torch.manual_seed(5)
    vae = LongCatAudioDiTVae(
        channels=8, c_mults=[1, 2, 2], strides=[8, 8], latent_dim=4, encoder_latent_dim=8, downsampling_ratio=64,
        sample_rate=LONGCAT_RATE,
    )  # fmt: skip
    transformer = LongCatAudioDiTTransformer(
        dit_dim=WIDTH, dit_depth=1, dit_heads=2, dit_text_dim=WIDTH, latent_dim=4, text_conv=False
    )
    text = UMT5Config(
        vocab_size=len(PIECES) + 2, d_model=WIDTH, d_kv=8, d_ff=16, num_layers=1, num_heads=2, pad_token_id=0
    )
    pipeline = LongCatAudioDiTPipeline(
        vae=vae.eval(),
        text_encoder=UMT5EncoderModel(text).eval(),
        tokenizer=_t5_tokenizer(),
        transformer=_drawn(transformer, 0.3),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0, invert_sigmas=True),
    )
    pipeline.save_pretrained(folder)
    return folder


def write_ace_step(folder: Path, *, turbo: bool = False) -> Path:
    """ACE-Step in its 25 latent frames a second, without the audio tokens, which are optional.

    Raises `ImportError` where diffusers has none yet.
    """
    from diffusers import (
        AceStepConditionEncoder,
        AceStepPipeline,
        AceStepTransformer1DModel,
        FlowMatchEulerDiscreteScheduler,
    )

    torch.manual_seed(6)
    vae = _oobleck(ACE_STEP_RATE, [10, 12, 16])
    text = Qwen3Config(
        vocab_size=64, hidden_size=WIDTH, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    same = {
        "hidden_size": WIDTH, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1,
        "head_dim": 8, "sliding_window": 16,
    }  # fmt: skip
    transformer = AceStepTransformer1DModel(
        **same, num_hidden_layers=2, in_channels=12, audio_acoustic_hidden_dim=4, is_turbo=turbo
    )
    condition = AceStepConditionEncoder(
        **same, text_hidden_dim=WIDTH, timbre_hidden_dim=4, num_lyric_encoder_hidden_layers=1,
        num_timbre_encoder_hidden_layers=1,
    )  # fmt: skip
    vocabulary = {word: number for number, word in enumerate(["<|endoftext|>", "Ġ", "Ċ", *LETTERS])}
    pipeline = AceStepPipeline(
        vae=_drawn(vae, 0.3),
        text_encoder=Qwen3Model(text).eval(),
        tokenizer=Qwen2Tokenizer(vocab=vocabulary, merges=[], model_max_length=1024),
        transformer=_drawn(transformer, 0.3),
        condition_encoder=_drawn(condition, 0.3),
        scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, shift=1.0),
    )
    pipeline.save_pretrained(folder)
    return folder
