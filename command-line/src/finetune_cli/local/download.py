# SPDX-License-Identifier: Apache-2.0
"""`finetune download`: what a run has published, each file compared with its digest."""

import argparse
import os
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from finetune_cli.terminal.exits import NO_INPUT, Refused
from finetune_cli.terminal.new_folder import require_new
from finetune_cli.terminal.output import tell
from finetune_contract import layout
from finetune_contract.codec import read
from finetune_contract.documents import InvalidDocument
from finetune_contract.outcome import ExitCode
from finetune_contract.printable import on_one_line
from finetune_trainer.storage import locations, transfer
from finetune_trainer.storage.manifest import ArtifactManifest, Pointer
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
    """Fetch a run, and give the exit code.

    Raises:
        Refused: there is none, or no room for it, or it is not complete.
        AttemptFailed: the store cannot be read, or a file is not what the manifest says.
    """
    folder = Path(options.folder)
    is_archive = options.folder == STANDARD_OUTPUT
    if not is_archive:
        require_new(folder)
    try:
        found = _find_run(_uri(options.uri), os.environ)
        if found is None:
            raise Refused(f"{options.uri} has no complete run", NO_INPUT)
        store, manifest = found
        if is_archive:
            _write_archive(store, manifest, sys.stdout.buffer)
        else:
            _fill_folder(store, manifest, folder)
    except InvalidDocument as error:
        raise Refused(f"{options.uri}: {error}", ExitCode.INFRASTRUCTURE) from None
    except KeyboardInterrupt:
        message = f"stopped: {options.folder} is not complete"
        raise Refused(message, ExitCode.INTERRUPTED) from None
    tell(f"{on_one_line(store.uri)}: {len(manifest.files)} files, {on_one_line(manifest.digest)}")
    return int(ExitCode.SUCCEEDED)


def _uri(given: str) -> str:
    is_path = locations.scheme_of(given) is None
    return Path(given).expanduser().absolute().as_uri() if is_path else given.rstrip("/")


def _find_run(uri: str, environment: Mapping[str, str]) -> tuple[Store, ArtifactManifest] | None:
    """The complete run at this place, or whose artifact that is; else the newest below it."""
    parent, _, name = uri.rpartition("/")
    places = [parent] if name in (layout.ADAPTER, layout.MODEL) else []
    for place in (uri, *places):
        store = open_store(place, environment)
        if (body := _ask_for(store, layout.MANIFEST)) is not None:
            return store, ArtifactManifest.from_json(body)
    pointer = _ask_for(open_store(uri, environment), layout.LATEST)
    if pointer is None:
        return None
    run_id = read(Pointer, pointer, layout.LATEST).run_id
    newest = open_store(locations.join(uri, run_id), environment)
    body = _ask_for(newest, layout.MANIFEST)
    return None if body is None else (newest, ArtifactManifest.from_json(body))


def _ask_for(store: Store, path: str) -> bytes | None:
    return transfer.ask(lambda: read_if_there(store, path), path)


def _fill_folder(store: Store, manifest: ArtifactManifest, folder: Path) -> None:
    found = transfer.download(store, {file.path: folder / file.path for file in manifest.files})
    transfer.require_intact(store, {file.path: file.sha256 for file in manifest.files}, found)
    # Last, as in the store: a folder that has one is complete.
    (folder / layout.MANIFEST).write_text(manifest.to_json())


def _write_archive(store: Store, manifest: ArtifactManifest, stream: IO[bytes]) -> None:
    """One file after the other, so that there need not be room for all of them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tarfile.open(fileobj=stream, mode="w|") as archive,
    ):
        for file in manifest.files:
            target = Path(folder) / "file"
            found = transfer.download(store, {file.path: target})
            transfer.require_intact(store, {file.path: file.sha256}, found)
            archive.add(target, arcname=file.path)
        target = Path(folder) / layout.MANIFEST
        target.write_text(manifest.to_json())
        archive.add(target, arcname=layout.MANIFEST)
