"""What several test files need: rendered takes, a library, tiny checkpoints, and a stand-in for the model hub.

The stand-in speaks the requests that huggingface_hub makes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray

from dcldm_plugin.library import Library
from dcldm_plugin.types import GenerationRequest, Sampling, Variation

REVISION = "0123456789abcdef0123456789abcdef01234567"
SMALL_BYTES = 1000  # what is larger is declared by its SHA-256, as files in git LFS are
LICENCE = "cc-by-nc-sa-4.0"


def _load(path: Path) -> ModuleType:
    if path.stem not in sys.modules:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    return sys.modules[path.stem]


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """`tiny_checkpoints.py`. Imported where it is asked for, since it needs torch and most tests do not."""
    return _load(Path(__file__).with_name("tiny_checkpoints.py"))


@pytest.fixture(scope="session")
def beeps() -> Callable[..., NDArray[np.float64]]:
    """(hertz, times, seconds=3.0): 16 kHz, beeps of a tenth of a second that begin at some times, in a little noise."""

    def make(hertz: float, times: Sequence[float], seconds: float = 3.0) -> NDArray[np.float64]:
        rate = 16_000
        sound = 1e-4 * np.random.default_rng(0).standard_normal(round(seconds * rate))
        beep = 0.4 * np.sin(2 * np.pi * hertz * np.arange(rate // 10) / rate) * np.hanning(rate // 10) ** 0.2
        for time in times:
            sound[round(time * rate) : round(time * rate) + len(beep)] += beep
        return sound

    return make


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `tiny_model.py` writes."""
    folder: Path = _load(Path(__file__).with_name("tiny_model.py")).write(tmp_path_factory.mktemp("tiny") / "model")
    return folder


@pytest.fixture(scope="session")
def fakes() -> Callable[[str], ModuleType]:
    """Modules of this folder that stand in for programs that are not here, by their path within it."""
    return lambda path: _load(Path(__file__).parent / path)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Threads cost a tiny model more than they bring, above all on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with closing(Library(tmp_path / "library")) as opened:
        yield opened


@pytest.fixture
def make_take(tmp_path: Path) -> Callable[..., Variation]:
    """A rendered take of noise on disk, as the engine leaves it."""
    import numpy as np
    import soundfile

    path = tmp_path / "render.wav"
    samples = 0.2 * np.random.default_rng(5).standard_normal(4_000)
    soundfile.write(path, samples.astype(np.float32), 16_000, subtype="FLOAT")

    def make(text: str = "heavy rain on a roof", **asked: object) -> Variation:
        request = GenerationRequest.create(text, **{"seconds": 0.25, "seed": 7, **asked})  # type: ignore[arg-type]
        return Variation(request, 0, path, 16_000, 1, "1.0", Sampling("dpm", 12, 3.0))

    return make


class HubStandIn:
    """A hub on 127.0.0.1. `files`: repository -> path -> content. The other fields make it misbehave."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.declared: dict[str, dict[str, Any]] = {}  # path -> size and sha256 in place of the true ones
        self.refusals: dict[str, tuple[int, str]] = {}  # repository -> status and X-Error-Code of its files
        self.gated: dict[str, set[str]] = {}  # repository -> tokens whose owners have accepted its licence
        self.tokens: set[str] = set()  # that are known
        self.answer: bytes | None = None  # in place of every listing
        self.break_after: int | None = None  # bytes of one answer, then silence until `go_on`, then the end
        self.broken, self.go_on = threading.Event(), threading.Event()
        self.ranges: list[tuple[str, int]] = []  # each file that was asked for, and from which byte
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def listing(self, repository: str) -> dict[str, Any]:
        siblings = []
        for path, content in self.files[repository].items():
            declared = self.declared.get(path, {})
            size = declared.get("size", len(content))
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            sibling: dict[str, Any] = {"rfilename": path, "size": size, "blobId": blob}
            if len(content) > SMALL_BYTES or declared:
                sha256 = declared.get("sha256", hashlib.sha256(content).hexdigest())
                sibling["lfs"] = {"size": size, "sha256": sha256, "pointerSize": 130}
            siblings.append(sibling)
        return {"id": repository, "sha": REVISION, "tags": [f"license:{LICENCE}"], "siblings": siblings}


class _Handler(BaseHTTPRequestHandler):
    hub: HubStandIn
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).removeprefix("/")
        if self._token and self._token not in self.hub.tokens:
            self._answer(401, b"", {"X-Error-Message": "Invalid credentials in Authorization header"})
        elif path.startswith("api/"):
            self._listing(path.removeprefix("api/models/"))
        elif path.startswith("cdn/"):
            owner, repository, name = path.removeprefix("cdn/").split("/", 2)
            self._content(name, self.hub.files[f"{owner}/{repository}"][name])
        else:
            repository, _, rest = path.partition("/resolve/")
            self._resolve(repository, rest.partition("/")[2])

    @property
    def _token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _listing(self, repository: str) -> None:
        if self.hub.answer is not None:
            self._answer(200, self.hub.answer, {})
        elif repository in self.hub.files:
            listing = json.dumps(self.hub.listing(repository)).encode()
            self._answer(200, listing, {"Content-Type": "application/json"})
        else:
            self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _resolve(self, repository: str, name: str) -> None:
        if repository in self.hub.refusals:
            status, code = self.hub.refusals[repository]
            self._answer(status, b"", {"X-Error-Code": code} if code else {})
        elif self._token not in self.hub.gated.get(repository, {self._token}):
            self._answer(403 if self._token else 401, b"", {"X-Error-Code": "GatedRepo"})
        elif len(self.hub.files[repository][name]) > SMALL_BYTES:  # the true one sends large files from elsewhere
            self._answer(302, b"", {"Location": f"/cdn/{repository}/{name}"})
        else:
            self._content(name, self.hub.files[repository][name])

    def _content(self, name: str, content: bytes) -> None:
        hub = self.hub
        first = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        hub.ranges.append((name, first))
        status, body = (206, content[first:]) if first else (200, content)
        headers = {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"} if first else {}
        if hub.break_after is None or len(body) <= hub.break_after:
            self._answer(status, body, headers)
            return
        self._begin(status, len(body), headers)
        self.wfile.write(body[: hub.break_after])
        hub.break_after, self.close_connection = None, True
        hub.broken.set()
        hub.go_on.wait(120)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._begin(status, len(body), headers)
        self.wfile.write(body)

    def _begin(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture
def hub() -> Iterator[HubStandIn]:
    """A hub with tiny files under the true names of TANGO, AudioLDM, AudioGen and the T5s."""
    stand_in = HubStandIn()
    from dcldm_plugin.sources import PARTS

    for part in PARTS.values():
        if part.repository:
            stand_in.files[part.repository] = {
                name: _content(part.name, name) for names in part.required for name in [names.split("|")[0]]
            } | {"README.md": b"not asked for", "flax_model.msgpack": bytes(5000)}
    yield stand_in
    stand_in.close()


def _content(part: str, name: str) -> bytes:
    """Small for configurations, beyond what git holds for weights; each its own."""
    seed = f"{part}/{name}"
    if name.endswith(".json"):
        return json.dumps({"of": seed}).encode()
    numbers = hashlib.sha256(seed.encode()).digest() * 100
    if not name.endswith(".safetensors"):
        return numbers
    header = {"w": {"dtype": "U8", "shape": [len(numbers)], "data_offsets": [0, len(numbers)]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers
