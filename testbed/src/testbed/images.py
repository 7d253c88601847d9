# SPDX-License-Identifier: Apache-2.0
"""Container images, built with buildah into a store that all clusters share and none writes to.

No registry is needed: the base image is made with debootstrap, and a Dockerfile uses it as `ARG
BASE`, or its part without a shell as `ARG RUNTIME`.
"""

import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed import binaries, cache
from testbed.build_settings import settings_of_this_machine
from testbed.folder import all_folders
from testbed.narration import step
from testbed.requirements import environment

PAUSE_IMAGE = "localhost/pause:1"

REPOSITORY = Path(__file__).parents[3]

_DEBIAN = "bookworm"
_DEBIAN_PACKAGES = ("ca-certificates", "python3", "python3-venv")
_RUNTIME_PACKAGES = (
    *("libbz2-1.0", "libc6", "libcrypt1", "libexpat1", "libffi8", "libgcc-s1", "liblzma5"),
    *("libpython3-stdlib", "libpython3.11-minimal", "libpython3.11-stdlib", "libsqlite3-0"),
    *("libssl3", "libuuid1", "media-types", "python3-minimal", "python3.11-minimal"),
    "zlib1g",
)
"""The packages that Python needs to run, without those of a shell or a package manager."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The build input, and the name."""

    tag: str
    dockerfile: Path
    context: Path = REPOSITORY


OPERATOR = Image(tag="localhost/finetune-operator:dev", dockerfile=REPOSITORY / "Dockerfile")
TRAINER = Image(
    tag="localhost/finetune-trainer:dev", dockerfile=REPOSITORY / "trainer-image" / "Dockerfile"
)
RESULTS_PAGE = Image(
    tag="localhost/finetune-results-page:dev", dockerfile=REPOSITORY / "results-page" / "Dockerfile"
)
OURS = {"operator": OPERATOR, "trainer": TRAINER, "results-page": RESULTS_PAGE}
"""Every image of this repository, by its short name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer, unpacked."""

    digest: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """An image in the store."""

    tag: str
    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]
    """From the base upwards."""


def build(image: Image, *options: str) -> None:
    """Builds an image; unchanged parts are not built again. Options are buildah's.

    Raises:
        FileNotFoundError: there is no such Dockerfile.
        RuntimeError: the build failed; the message ends with its last output.
    """
    if not image.dockerfile.exists():
        raise FileNotFoundError(f"{image.tag} has no Dockerfile at {image.dockerfile}.")
    with cache.locked(_store() / "build.lock"):
        base = _base_image()
        with step(f"Build {image.tag}"):
            bases = (
                "--build-arg",
                f"BASE={base}",
                "--build-arg",
                f"RUNTIME={_runtime_image(base)}",
            )
            with settings_of_this_machine(image.dockerfile) as settings:
                _build(image, *bases, *settings, *options)
        _remove_what_nothing_uses()


def build_pause() -> None:
    """Builds the image for each pod's namespaces, if it is missing."""
    build_program(binaries.PAUSE, PAUSE_IMAGE)


def build_program(module: binaries.Module, tag: str) -> None:
    """Builds the image with a module's only program, if it is missing."""
    (program,) = module.programs
    folder = binaries.build(module)
    if exists(f"{tag}-{folder.name}"):
        return
    build_around(folder / program, tag)
    with cache.locked(_store() / "build.lock"):
        _buildah("tag", tag, f"{tag}-{folder.name}")


def build_around(program: Path, tag: str, *, folder: str = "/") -> None:
    """Builds the image with only this program, which needs no other file."""
    place = f"{folder}{program.name}"
    with (
        cache.locked(_store() / "build.lock"),
        tempfile.TemporaryDirectory() as context,
        step(f"Build {tag}"),
    ):
        shutil.copy(program, context)
        dockerfile = Path(context) / "Dockerfile"
        lines = ("FROM scratch", f"COPY {program.name} {place}", f'ENTRYPOINT ["{place}"]')
        dockerfile.write_text("\n".join(lines) + "\n")
        _build(Image(tag=tag, dockerfile=dockerfile, context=Path(context)))


def find(tag: str) -> BuiltImage:
    """The image of this name.

    Raises:
        LookupError: it has not been built.
    """
    if not exists(tag):
        raise LookupError(f"There is no image {tag}; build it first: python -m testbed images")
    described = json.loads(_buildah("inspect", "--type", "image", tag))
    config = json.loads(described["Config"])
    return BuiltImage(
        tag=tag,
        manifest=described["Manifest"].encode(),
        config=described["Config"].encode(),
        layers=_layers(config["rootfs"]["diff_ids"]),
    )


def _layers(digests: list[str]) -> tuple[Layer, ...]:
    """The layers with these digests in the store, stacked in this order."""
    known: list[dict[str, Any]] = json.loads((_store() / "overlay-layers/layers.json").read_text())
    ids = {(layer.get("parent"), layer.get("diff-digest")): layer["id"] for layer in known}
    layers = []
    parent: str | None = None
    for digest in digests:
        parent = ids[parent, digest]
        layers.append(Layer(digest=digest, folder=_store() / "overlay" / parent / "diff"))
    return tuple(layers)


def _base_image() -> str:
    """A small Debian with Python, built once."""
    tag = f"localhost/testbed-base:{cache.key(_DEBIAN, *_DEBIAN_PACKAGES)}"
    if exists(tag):
        return tag
    with (
        tempfile.TemporaryDirectory(dir=_store()) as folder,
        step(f"Make the base image, Debian {_DEBIAN} with {', '.join(_DEBIAN_PACKAGES)}"),
    ):
        system = Path(folder) / "system"
        _debootstrap(system)
        context = Path(folder) / "context"
        context.mkdir()
        # From an archive, because COPY would make root the owner of every file.
        with tarfile.open(context / "system.tar", "w") as archive:
            archive.add(system, arcname=".")
        dockerfile = context / "Dockerfile"
        dockerfile.write_text('FROM scratch\nADD system.tar /\nCMD ["/bin/bash"]\n')
        _build(Image(tag=tag, dockerfile=dockerfile, context=context))
    return tag


def _runtime_image(base: str) -> str:
    """Python without a shell, like distroless images: some files of the base, built once."""
    tag = f"localhost/testbed-runtime:{cache.key(base, *_RUNTIME_PACKAGES)}"
    if exists(tag):
        return tag
    (system,) = (layer.folder for layer in find(base).layers)
    with (
        tempfile.TemporaryDirectory(dir=_store()) as context,
        step("Make the base image without a shell"),
    ):
        with tarfile.open(Path(context) / "system.tar", "w") as archive:
            for path in _files_of_python(system):
                archive.add(system / path, arcname=path, recursive=False)
        dockerfile = Path(context) / "Dockerfile"
        dockerfile.write_text("FROM scratch\nADD system.tar /\n")
        _build(Image(tag=tag, dockerfile=dockerfile, context=Path(context)))
    return tag


def _files_of_python(system: Path) -> list[str]:
    """Relative paths: the files of `_RUNTIME_PACKAGES`, and those of every system."""
    paths = {"tmp", "etc/ssl/certs/ca-certificates.crt", "etc/os-release", "usr/lib/os-release"}
    paths |= {link for link in ("bin", "lib", "lib64", "sbin") if (system / link).is_symlink()}
    for package in _RUNTIME_PACKAGES:
        (listing,) = (system / "var/lib/dpkg/info").glob(f"{package}[.:]*list")
        for line in listing.read_text().splitlines():
            path = re.sub(r"^/(?=s?bin/|lib/|lib64/)", "/usr/", line).removeprefix("/.").lstrip("/")
            if path and not path.startswith(("usr/share/doc", "usr/share/man")):
                paths.add(path)
    return sorted(path for path in paths if os.path.lexists(system / path))


def _debootstrap(target: Path) -> None:
    _run(
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(_DEBIAN_PACKAGES)}",
        _DEBIAN,
        target,
    )
    # They belong to the machine that ran debootstrap.
    for leftover in ("etc/resolv.conf", "etc/hostname"):
        (target / leftover).unlink(missing_ok=True)
    for folder in ("var/cache/apt/archives", "var/lib/apt/lists", "var/log"):
        for file in (target / folder).rglob("*"):
            if file.is_file():
                file.unlink()


def _build(image: Image, *options: str) -> None:
    _buildah(
        *("build", "--isolation", "chroot", "--layers", "--pull-never"),
        *("--tag", image.tag, "--file", str(image.dockerfile), *options, str(image.context)),
    )


def _remove_what_nothing_uses() -> None:
    """Removes layers that no image of ours consists of or was built from.

    A running cluster may still use some of them; then they stay until the next build.
    """
    if any(folder.keeper for folder in all_folders()):
        return
    _buildah("rm", "--all")
    _buildah("rmi", "--prune")


def push(tag: str, reference: str) -> None:
    """Pushes an image to a registry on this machine, with plain HTTP.

    Its layers are not compressed: that takes minutes for the trainer's.
    """
    _buildah("push", "--tls-verify=false", "--disable-compression", tag, f"docker://{reference}")


def exists(tag: str) -> bool:
    """Whether an image of this name has been built."""
    return bool(_buildah("images", "--quiet", "--filter", f"reference={tag}").strip())


def _buildah(*arguments: str) -> str:
    store = _store()
    return _run(
        "buildah",
        *("--root", str(store), "--runroot", str(store / "run"), "--storage-driver", "overlay"),
        *arguments,
    )


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-40:]
        raise RuntimeError("\n".join([f"{command[0]} failed:", *said]))
    return done.stdout


def _store() -> Path:
    store = cache.root() / "containers"
    store.mkdir(parents=True, exist_ok=True)
    return store
