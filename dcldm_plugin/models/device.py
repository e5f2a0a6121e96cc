"""Where a chain computes, in which precision, and which of its parts wait where until it is their turn.

At full size the parts are AudioGen (1.84 billion parameters), the denoiser (0.88) and two text encoders
(0.34 each), each of which works once a clip. What does not fit together takes turns: on a GPU the waiting
parts are in main memory, and where that is small as well they are read again when they are needed.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import torch
from torch import nn

from dcldm_plugin.errors import DcldmError, EngineFailed, InvalidInput, is_out_of_memory
from dcldm_plugin.models.plan import PlanModel
from dcldm_plugin.settings import DEVICE_VARIABLE

Result = TypeVar("Result")
Keep = Literal["device", "memory", "disk"]

LARGEST_BATCH = 8
TAKE_BYTES = 1_500_000_000  # what one guided take of the full-size chain needs besides the weights, float16
COMPILED = ("BasicTransformerBlock", "ResnetBlock2D", "Block")  # what denoisers are made of, many times over
FIRST_WITH_TENSOR_CORES, FIRST_WITH_BFLOAT16 = (7, 0), (8, 0)  # CUDA compute capability


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a chain computes and what it keeps there.

    dtype: of the denoiser and the language model; the small parts stay in float32.
    keep: where a part is when it is not its turn; "disk" drops it and loads it anew.
    batch: how many takes are made together. compile: whether torch compiles the denoiser's blocks, which
    takes a minute once and pays from a few clips on.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    keep: Keep = "device"
    batch: int = 1
    compile: bool = False


def place(
    part_parameters: Sequence[int], wish: str = "auto", *, language_model: int = 0, compile: bool = False
) -> Placement:
    """The placement of a chain with parts of these many parameters on this machine.

    wish: "auto", "cpu", "cuda", "cuda:1" or "mps".
    language_model: the parameters of one more part, which is `quantised` on a CPU: it comes in float16.
    Raises `InvalidInput` for a device that is not here and `EngineFailed` for a model that does not fit.
    """
    device = choose_device(wish)
    dtype = choose_dtype(device)
    take = TAKE_BYTES * dtype.itemsize // 2
    parts = [count * dtype.itemsize for count in part_parameters]
    parts.append(language_model * (2 if device.type == "cpu" else dtype.itemsize))
    keep, batch = plan_memory(parts, take, free_bytes(device), free_bytes(torch.device("cpu")))
    # On a CPU a batch is no faster than one take after the other, and the first would come later.
    return Placement(device, dtype, keep, 1 if device.type == "cpu" else batch, compile)


def choose_device(wish: str = "auto") -> torch.device:
    """The one that is wished for; else that of the settings; else CUDA before MPS before the CPU.

    Raises `InvalidInput`.
    """
    if wish == "auto":
        wish = os.environ.get(DEVICE_VARIABLE) or "auto"
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wish == "auto":
        return torch.device(next(name for name, is_there in there.items() if is_there))
    kind, _, number = wish.partition(":")
    known = there.get(kind, False) and (not number or number.isdecimal())
    if not known or (kind == "cuda" and int(number or 0) >= torch.cuda.device_count()):
        here = ", ".join(name for name, is_there in there.items() if is_there)
        raise InvalidInput(f"There is no device {wish!r} on this machine; choose one of: auto, {here}.")
    return torch.device(wish)


def choose_dtype(device: torch.device) -> torch.dtype:
    """What the device is fast in. Half precision on a CPU is slower than float32, by far."""
    if device.type == "cuda":
        return cuda_dtype(torch.cuda.get_device_capability(device))
    return torch.float16 if device.type == "mps" else torch.float32


def cuda_dtype(capability: tuple[int, int]) -> torch.dtype:
    """bfloat16 where there is hardware for it, since it never overflows; else float16 with tensor cores."""
    if capability >= FIRST_WITH_BFLOAT16:
        return torch.bfloat16
    return torch.float16 if capability >= FIRST_WITH_TENSOR_CORES else torch.float32


def free_bytes(device: torch.device) -> int:
    """How much memory is free there now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    import psutil

    return int(psutil.virtual_memory().available)


def plan_memory(parts: Sequence[int], take: int, on_device: int, in_memory: int) -> tuple[Keep, int]:
    """Where parts of these sizes wait, and how many takes fit at once; all in bytes. Raises `EngineFailed`."""
    whole, largest = sum(parts), max(parts)
    keep: Keep
    if whole + take <= on_device:
        keep, room = "device", on_device - whole
    elif largest + take <= on_device:
        keep, room = ("memory" if whole <= in_memory and on_device != in_memory else "disk"), on_device - largest
    else:
        raise EngineFailed(
            f"The model needs {(largest + take) / 1e9:.1f} GB of memory and {on_device / 1e9:.1f} GB are free; "
            "close other programs, or choose a smaller model or another device."
        )
    return keep, min(room // take, LARGEST_BATCH)


class Staged(nn.Module):
    """A chain whose named parts are on the device while they work, and wait as its placement says.

    loaders: how to get a part that is not there (None), ready to work and in its precision.
    """

    def __init__(self, placement: Placement, loaders: Mapping[str, Callable[[], nn.Module]]) -> None:
        super().__init__()
        self.placement, self.loaders = placement, dict(loaders)
        self._working: set[str] = set()

    @contextmanager
    def at_work(self, *names: str) -> Iterator[None]:
        """Bring parts to the device, and send them away afterwards if they may not stay.

        A part that is at work already stays until whoever brought it has finished.
        """
        brought = [name for name in names if name not in self._working]
        self._working.update(brought)
        try:
            for name in brought:
                self._bring(name)
            yield
        finally:
            for name in brought:
                self._working.discard(name)
                self._send_away(name)

    def _bring(self, name: str) -> None:
        part = self._modules[name]
        if part is None and name in self.loaders:
            part = self._modules[name] = self.loaders[name]().eval().requires_grad_(False)
            if name == "denoiser" and self.placement.compile:
                compile_blocks(part)
        if part is not None:
            part.to(self.placement.device)

    def _send_away(self, name: str) -> None:
        part, keep = self._modules[name], self.placement.keep
        if part is None or keep == "device":
            return
        if keep == "disk" and name in self.loaders:
            self._modules[name] = None
        else:
            part.to("cpu")
        del part
        release_memory(self.placement.device)


def release_memory(device: torch.device) -> None:
    """Give back to the system what nobody holds any more."""
    gc.collect()
    if sys.platform == "linux":  # glibc keeps what was freed, gigabytes of it; other C libraries have no such call
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def compile_blocks(denoiser: nn.Module, backend: str = "inductor") -> None:
    """Have torch compile the repeated blocks at their first call; names and weights stay as they are."""
    for module in denoiser.modules():
        if type(module).__name__ in COMPILED:
            module.compile(backend=backend)


def render_in_batches(
    count: int,
    work: Callable[[range], Iterable[Result]],
    batch: int,
    shrink: Callable[[int], None],
    device: torch.device | None = None,
) -> Iterator[Result]:
    """The results of items 0 … count - 1, in order, made up to `batch` at a time by work(items).

    Where memory runs out the batch is halved, `shrink` is told the new size, and the items that are still
    missing are made again. One item that does not fit raises what it raised.
    """
    start = 0
    while start < count:
        items = range(start, min(start + batch, count))
        ran_out = False
        try:
            for result in work(items):
                yield result
                start += 1
        except (MemoryError, RuntimeError) as error:
            ran_out = is_out_of_memory(error) and len(items) > 1
            if not ran_out:
                raise
        if ran_out:  # out here, where the exception no longer holds on to the tensors
            batch = len(items) // 2
            release_memory(device or torch.device("cpu"))
            shrink(batch)


def quantised(model: PlanModel) -> PlanModel:
    """The language model with its linear layers in 8 bits, in place: for a CPU, about four times as fast.

    Takes any floating-point precision, layer by layer, so that float16 weights need no more memory than
    they have. Raises `DcldmError` where this build of torch can't.
    """
    try:
        from torch.ao.nn.quantized.dynamic import Linear
        from torch.ao.quantization import default_dynamic_qconfig
    except ImportError as error:
        raise DcldmError("This version of torch has no 8-bit layers; install torch 2.6 to 2.13.") from error

    def convert(module: nn.Module) -> None:
        for name, child in module.named_children():
            if type(child) is nn.Linear:
                layer: Any = child.float()
                layer.qconfig = default_dynamic_qconfig
                setattr(module, name, Linear.from_float(layer))  # type: ignore[no-untyped-call]
            else:
                convert(child)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations: torchao is to follow, and was slower here
        try:
            convert(model.lm)
        except RuntimeError as error:
            raise DcldmError("This processor has no 8-bit layers in torch; use the model as it is.") from error
    return model.float()
