# SPDX-License-Identifier: Apache-2.0
"""`finetune download`: the results of a run, each file compared with its digest."""

import argparse
import os
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from finetune_cli.terminal.exits import NO_INPUT, Refused
from finetune_cli.terminal.new_folder import require_new
from finetune_cli.terminal.output import tell, while_read
from finetune_contract import layout
from finetune_contract.documents import InvalidDocument
from finetune_contract.outcome import ExitCode
from finetune_contract.printable import on_one_line
from finetune_trainer.storage import locations, transfer
from finetune_trainer.storage.manifest import ArtifactManifest, File, Pointer, merged
from finetune_trainer.storage.store import Store, open_store, read_if_there

STANDARD_OUTPUT = "-"

DESCRIPTION = """\
Downloads the results of a run: adapter or model, report, metrics, and the manifest, whose digests
are verified. URI is spec.output.uri (its newest complete run is downloaded), the location of a
single run, or status.artifact.uri. Credentials are read from the environment.
"""


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "uri", metavar="URI", help="the value of spec.output.uri or status.artifact.uri"
    )
    command.add_argument(
        "folder",
        metavar="FOLDER",
        help="a new directory; - writes a tar archive to standard output",
    )


def download(options: argparse.Namespace) -> int:
    """Fetches a run, and returns the exit code.

    Raises:
        Refused: there is none, or no room for it, or it is incomplete.
        AttemptFailed: the store cannot be read, or a file does not match the manifest.
    """
    folder = Path(options.folder)
    is_archive = options.folder == STANDARD_OUTPUT
    if not is_archive:
        require_new(folder)
    try:
        found = _find_run(_uri(options.uri), os.environ)
        if found is None:
            raise Refused(f"{options.uri} has no complete run", NO_INPUT)
        if is_archive:
            with while_read(sys.stdout):
                _write_archive(found, sys.stdout.buffer)
        else:
            _fill_folder(found, folder)
    except InvalidDocument as error:
        raise Refused(f"{options.uri}: {error}", ExitCode.INFRASTRUCTURE) from None
    except KeyboardInterrupt:
        message = f"stopped: {options.folder} is not complete"
        raise Refused(message, ExitCode.INTERRUPTED) from None
    uri, digest = on_one_line(found.store.uri), on_one_line(found.manifest.digest)
    tell(f"{uri}: {len(found.files)} files, {digest}")
    return int(ExitCode.SUCCEEDED)


def _uri(given: str) -> str:
    is_path = locations.scheme_of(given) is None
    return Path(given).expanduser().absolute().as_uri() if is_path else given.rstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Published:
    """A complete run."""

    store: Store
    manifest: ArtifactManifest
    merged: ArtifactManifest | None
    """The manifest of the merged model, if a complete one is next to the adapter."""

    @property
    def manifests(self) -> Mapping[str, ArtifactManifest]:
        """Manifests by their locations in the run; the run's own is last."""
        others = {} if self.merged is None else {layout.MERGED: self.merged}
        return {**others, layout.MANIFEST: self.manifest}

    @property
    def files(self) -> tuple[File, ...]:
        return merged(self.manifests.values())


def _find_run(uri: str, environment: Mapping[str, str]) -> _Published | None:
    """The complete run at this location, or of this artifact; else the newest below it."""
    parent, _, name = uri.rpartition("/")
    places = [parent] if name in (layout.ADAPTER, layout.MODEL) else []
    for place in (uri, *places):
        if (found := _read_run(open_store(place, environment))) is not None:
            return found
    pointer = _ask_for(open_store(uri, environment), layout.LATEST)
    if pointer is None:
        return None
    run_id = Pointer.from_json(pointer, layout.LATEST).run_id
    return _read_run(open_store(locations.join(uri, run_id), environment))


def _read_run(store: Store) -> _Published | None:
    if (body := _ask_for(store, layout.MANIFEST)) is None:
        return None
    manifest = ArtifactManifest.from_json(body)
    return _Published(store=store, manifest=manifest, merged=_read_merged(store, manifest))


def _read_merged(store: Store, adapter: ArtifactManifest) -> ArtifactManifest | None:
    """None also if files of it were deleted since, or if it belongs to another adapter."""
    if (body := _ask_for(store, layout.MERGED)) is None:
        return None
    found = ArtifactManifest.from_json(body)
    is_whole = found.is_complete(transfer.ask(store.sizes, store.uri))
    return found if is_whole and found.facts.get("adapter") == adapter.digest else None


def _ask_for(store: Store, path: str) -> bytes | None:
    return transfer.ask(lambda: read_if_there(store, path), path)


def _fill_folder(run: _Published, folder: Path) -> None:
    digests = {file.path: file.sha256 for file in run.files}
    found = transfer.download(run.store, {path: folder / path for path in digests})
    transfer.require_intact(run.store, digests, found)
    # Last, as in the store: a directory with a manifest is complete.
    for place, manifest in run.manifests.items():
        (folder / place).write_text(manifest.to_json())


def _write_archive(run: _Published, stream: IO[bytes]) -> None:
    """One file at a time, so that there need not be room for all of them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tarfile.open(fileobj=stream, mode="w|") as archive,
    ):
        for file in run.files:
            target = Path(folder) / "file"
            found = transfer.download(run.store, {file.path: target})
            transfer.require_intact(run.store, {file.path: file.sha256}, found)
            archive.add(target, arcname=file.path)
        for place, manifest in run.manifests.items():
            target = Path(folder) / "manifest"
            target.write_text(manifest.to_json())
            archive.add(target, arcname=place)
