# SPDX-License-Identifier: Apache-2.0
"""The exact inputs of a run: digests of the base model's and the data's files, and its licence.

Computed in a thread while the ranks import torch, so that it costs no time.
"""

import hashlib
import logging
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from finetune_spec.config import SftConfig
from finetune_spec.config.parse.sft_config import AS_MODEL
from finetune_trainer.plan.parsed_run import StartingAdapter
from finetune_trainer.plan.training_plan import names_to_fetch
from finetune_trainer.storage import locations

log = logging.getLogger(__name__)

MODEL_KEY = "model_name_or_path"
AT_ONCE = 2
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---", re.DOTALL)

NamePairs = Iterable[tuple[str, str]]
"""Each name of a model or dataset, with its config key."""


class Origins:
    """Digests that are being computed, and the licence."""

    def __init__(
        self,
        names: NamePairs,
        paths: Mapping[str, Path],
        revision: str | None = None,
        starting: StartingAdapter | None = None,
    ) -> None:
        self._executor = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="digests")
        self._entries = [(key, name, paths.get(name)) for key, name in names]
        if starting is not None:
            self._entries.append((AS_MODEL, starting.name, starting.folder))
        self._revision = revision
        self._files: dict[str, dict[str, Future[str]]] = {
            name: {} if path is None else self._start(path) for _, name, path in self._entries
        }

    @classmethod
    def of(
        cls,
        config: SftConfig,
        paths: Mapping[str, Path],
        starting: StartingAdapter | None = None,
    ) -> "Origins":
        """The digests of all inputs of a config; `paths` has the local ones."""
        return cls(names_to_fetch(config), paths, config["model_revision"], starting)

    def digests(self) -> dict[str, Any]:
        """`model`, `data` and, if there is one, `adapter`, each with its name and the sha256 of its
        files, or its revision on the hub. Waits for running computations.
        """
        entries = [(key, self._entry(key, name, path)) for key, name, path in self._entries]
        adapter = next((entry for key, entry in entries if key == AS_MODEL), None)
        return {
            "model": next((entry for key, entry in entries if key == MODEL_KEY), None),
            "data": [entry for key, entry in entries if key not in (MODEL_KEY, AS_MODEL)],
        } | ({} if adapter is None else {"adapter": adapter})

    def licence(self) -> str | None:
        """The base model's licence from the card in its directory; None if it has none."""
        for key, name, path in self._entries:
            if key == MODEL_KEY:
                return licence_of(path or cached_folder(locations.hub_name(name), self._revision))
        return None

    def _start(self, path: Path) -> dict[str, "Future[str]"]:
        if path.is_file():
            return {path.name: self._executor.submit(_sha256, path)}
        return {
            file.relative_to(path).as_posix(): self._executor.submit(_sha256, file)
            for file in sorted(path.rglob("*"))
            if file.is_file() and not _is_hidden(file.relative_to(path))
        }

    def _entry(self, key: str, name: str, path: Path | None) -> dict[str, Any]:
        if path is not None:
            files = {file: future.result() for file, future in self._files[name].items()}
            return {"name": name, "files": files}
        kind = "model" if key == MODEL_KEY else "dataset"
        wanted = self._revision if kind == "model" else None
        return {"name": name, "revision": cached_revision(locations.hub_name(name), wanted, kind)}


def _is_hidden(path: Path) -> bool:
    """`datasets` reads no such file. In a mounted ConfigMap each file also exists in a hidden
    directory.
    """
    return any(part.startswith(".") for part in path.parts)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def cached_revision(repository: str, revision: str | None, kind: str) -> str | None:
    """The commit that the hub's client has fetched for this revision; None if it has not."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type=kind)
    reference = folder / "refs" / (revision or constants.DEFAULT_REVISION)
    if reference.is_file():
        return reference.read_text().strip()
    return revision if revision and (folder / "snapshots" / revision).is_dir() else None


def cached_folder(repository: str, revision: str | None) -> Path | None:
    """The directory in which the hub's client keeps this model; None if it does not."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    commit = cached_revision(repository, revision, "model")
    if commit is None:
        return None
    folder = repo_folder_name(repo_id=repository, repo_type="model")
    return Path(constants.HF_HUB_CACHE) / folder / "snapshots" / commit


def licence_of(folder: Path | None) -> str | None:
    """The licence in the front matter of the directory's README."""
    readme = None if folder is None else folder / "README.md"
    if readme is None or not readme.is_file():
        return None
    match = _FRONT_MATTER.match(readme.read_text(errors="replace"))
    try:
        matter = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError as error:
        log.warning("the base model's card cannot be read error=%s", error)
        return None
    if not isinstance(matter, Mapping):
        return None
    licence = matter.get("license")
    # "other" has a separate name.
    name = matter.get("license_name") if licence in (None, "other") else licence
    found = name or licence
    return None if found is None else str(found)
