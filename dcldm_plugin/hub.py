"""What is asked of a model hub: what a repository holds, and one file at a time. Knows no torch.

Uses huggingface_hub for addresses, the user's token and the transfer. Since its version 2 it starts an
interrupted file anew in the next process; files of several gigabytes should not, so the partial file is ours
and named after the content that it is to get.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dcldm_plugin.errors import DcldmError

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file as the hub declares it: by its SHA-256, or for small ones by git's hash of a blob."""

    size_bytes: int
    sha256: str
    git_blob: str

    def sha256_of(self, path: Path) -> str | None:
        """The SHA-256 of the file at `path` if it is this one, else None."""
        if path.stat().st_size != self.size_bytes:
            return None
        digest, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % self.size_bytes, usedforsecurity=False)
        with path.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
                blob.update(block)
        same = digest.hexdigest() == self.sha256 if self.sha256 else blob.hexdigest() == self.git_blob
        return digest.hexdigest() if same else None


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one commit. licence: what its page declares, "" if nothing."""

    repository: str
    revision: str
    licence: str
    files: dict[str, HubFile]


class Hub:
    """A hub at an address, by default huggingface.co or `$HF_ENDPOINT`.

    token: the user's, for what is behind a licence; by default that of `$HF_TOKEN` or of `hf auth login`. It is
    sent to the hub, and written nowhere.
    """

    def __init__(self, address: str | None = None, token: str | None = None) -> None:
        self._address = address
        self.token = token

    @property
    def address(self) -> str:
        from huggingface_hub.constants import ENDPOINT

        return (self._address or ENDPOINT).rstrip("/")

    @property
    def has_token(self) -> bool:
        """Whether the user has given a token, here or to huggingface_hub."""
        from huggingface_hub import get_token

        return bool(self.token or get_token())

    def page(self, repository: str) -> str:
        """Where people find a repository."""
        return f"{self.address}/{repository}"

    def listing(self, repository: str) -> Listing:
        """What `repository` holds now. Raises `DcldmError` with what to do."""
        from huggingface_hub import HfApi

        try:
            with self._sentences(repository):
                info = HfApi(self.address, token=self.token).model_info(repository, files_metadata=True)
        except (ValueError, KeyError, TypeError) as error:
            raise DcldmError(
                f"What {self.address} says about {repository} is not what a model hub says; "
                "check HF_ENDPOINT and the network."
            ) from error
        files = {}
        for sibling in info.siblings or ():
            if sibling.lfs:
                files[sibling.rfilename] = HubFile(sibling.lfs.size, sibling.lfs.sha256, "")
            elif sibling.size is not None and sibling.blob_id:
                files[sibling.rfilename] = HubFile(sibling.size, "", sibling.blob_id)
        licences = [tag.partition(":")[2] for tag in info.tags or () if tag.startswith("license:")]
        return Listing(info.id, str(info.sha), next(iter(licences), ""), files)

    def download(self, wanted: Listing, name: str, folder: Path) -> str:
        """Bring one file into `folder`, going on where an earlier call stopped; return its SHA-256.

        Shows a bar on a terminal. Raises `DcldmError` with what to do.
        """
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but not listed

        file, target = wanted.files[name], folder / name
        if target.is_file() and (sha256 := file.sha256_of(target)):
            return sha256
        partial = _partial(file, target)
        with self._sentences(wanted.repository):
            target.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("ab") as stream:
                if stream.tell() > file.size_bytes:
                    stream.truncate(0)
                http_get(
                    hf_hub_url(wanted.repository, name, revision=wanted.revision, endpoint=self.address),
                    stream,
                    resume_size=stream.seek(0, os.SEEK_END),
                    headers=build_hf_headers(token=self.token),
                    expected_size=file.size_bytes,
                    displayed_filename=name,
                )
            arrived = file.sha256_of(partial)
            if arrived is None:
                partial.unlink()
                raise DcldmError(
                    f"{name} of {wanted.repository} is not the file that {self.address} declares, "
                    "so it was thrown away; run the same command again."
                )
            os.replace(partial, target)
        return arrived

    @contextmanager
    def _sentences(self, repository: str) -> Iterator[None]:
        """What can go wrong between here and the hub, as sentences."""
        from huggingface_hub import errors

        page = self.page(repository)
        try:
            yield
        except DcldmError:
            raise
        except errors.GatedRepoError as error:
            raise DcldmError(self._locked(page, error.response.status_code)) from error
        except (errors.RepositoryNotFoundError, errors.EntryNotFoundError, errors.RevisionNotFoundError) as error:
            raise DcldmError(
                f"{page} is not there, or not for everyone; if you have its files, name their folder with --from."
            ) from error
        except errors.HfHubHTTPError as error:
            status = error.response.status_code
            if status in (401, 403):
                raise DcldmError(self._locked(page, status)) from error
            raise DcldmError(
                f"{self.address} answered {status} for {repository}; run the same command again later, "
                "it goes on where it stopped."
            ) from error
        except errors.OfflineModeIsEnabled as error:
            raise DcldmError("HF_HUB_OFFLINE is set, so nothing is downloaded; unset it and try again.") from error
        except errors.HTTPError as error:  # type: ignore[attr-defined]  # of whichever HTTP library it uses
            raise DcldmError(
                f"{self.address} can't be reached ({error}); check the network and run the same command again, "
                "it goes on where it stopped."
            ) from error
        except OSError as error:
            if error.errno is None:  # huggingface_hub's complaint about a length
                raise DcldmError(
                    f"What {self.address} sent of {repository} is too short or too long; run the same command again."
                ) from error
            raise DcldmError(disk_sentence(error)) from error

    def _locked(self, page: str, status: int) -> str:
        """What to do at a page that a token does not open, or that wants one."""
        tokens = f"{self.address}/settings/tokens"
        if not self.has_token:
            return (
                f"{page} wants its licence to be accepted first: open it in a browser, sign in and accept; then make "
                f"a token at {tokens} and install again with it in HF_TOKEN, or after `hf auth login`."
            )
        if status == 401:
            return f"{self.address} refuses the token that was given; make a new one at {tokens} and install again."
        return (
            f"The token's owner has not accepted the licence of {page}, or the token may not read what is behind one: "
            f"open the page in a browser and accept, check the token at {tokens}, and install again."
        )


def bytes_present(wanted: Listing, name: str, folder: Path) -> int:
    """How much of a file an earlier `download` left in `folder`."""
    target = folder / name
    for path in (target, _partial(wanted.files[name], target)):
        if path.is_file():
            return min(path.stat().st_size, wanted.files[name].size_bytes)
    return 0


def _partial(file: HubFile, target: Path) -> Path:
    return target.with_name(f"{target.name}.{(file.sha256 or file.git_blob)[:12]}.part")


def disk_sentence(error: OSError) -> str:
    """The sentence for a disk that does not take what is written."""
    if error.errno == errno.ENOSPC:
        return "The disk is full; make room and run the same command again, it goes on where it stopped."
    return f"The models' folder can't be changed ({error}); close what uses it and check its permissions."
