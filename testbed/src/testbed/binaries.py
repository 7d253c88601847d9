# SPDX-License-Identifier: Apache-2.0
"""Kubernetes, etcd, CoreDNS and the pause program, from pinned Go modules, built once."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from testbed.cache import build_once, key, root
from testbed.narration import say, step
from testbed.requirements import Missing

_MODULES = Path(__file__).parents[2] / "go"


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A directory with go.mod and go.sum, and the programs to build from it."""

    folder: str
    title: str
    programs: Mapping[str, str]
    """Program name -> Go package."""
    version_flag: str = ""
    patience: str = ""
    """A note about the first build."""


KUBERNETES = Module(
    folder="kubernetes",
    title="Kubernetes 1.35.4",
    programs={
        name: f"k8s.io/kubernetes/cmd/{name}"
        for name in (
            "kube-apiserver",
            "kube-controller-manager",
            "kube-proxy",
            "kube-scheduler",
            "kubectl",
            "kubelet",
        )
    },
    # Without it the server calls itself v0.0.0, and charts refuse it.
    version_flag="-X k8s.io/component-base/version.gitVersion=v1.35.4",
    patience=" (the first time takes 5 to 20 minutes)",
)
ETCD = Module(folder="etcd", title="etcd 3.6.16", programs={"etcd": "go.etcd.io/etcd/server/v3"})
COREDNS = Module(
    folder="coredns",
    title="CoreDNS 1.13.1",
    programs={"coredns": "github.com/coredns/coredns"},
    patience=" (the first time takes 2 to 3 minutes)",
)
PAUSE = Module(folder="pause", title="the pause program", programs={"pause": "."})
KSTATUS = Module(
    folder="kstatus",
    title="kstatus as Flux has it",
    programs={"kstatus": "."},
    patience=" (the first time takes a minute)",
)
KUEUE = Module(
    folder="kueue",
    title="Kueue 0.15.0",
    programs={"kueue": "sigs.k8s.io/kueue/cmd/kueue"},
    patience=" (the first time takes 4 to 10 minutes)",
)
REGISTRY = Module(
    folder="registry",
    title="the registry of go-containerregistry 0.22.1",
    programs={"registry": "."},
    patience=" (the first time takes half a minute)",
)
COSIGN = Module(
    folder="cosign",
    title="cosign 2.6.5",
    programs={"cosign": "github.com/sigstore/cosign/v2/cmd/cosign"},
    patience=" (the first time takes 2 to 10 minutes)",
)
PEERS = Module(
    folder="peers",
    title="Kubeflow Trainer 2.3.0 and JobSet 0.12.0",
    programs={
        "jobset": "sigs.k8s.io/jobset",
        "trainer": "github.com/kubeflow/trainer/v2/cmd/trainer-controller-manager",
    },
    patience=" (the first time takes 3 to 10 minutes)",
)

CLUSTER_MODULES = (KUBERNETES, ETCD, COREDNS)


def cluster_programs() -> dict[str, Path]:
    """Every program of a cluster, by name.

    KUBEBUILDER_ASSETS takes precedence if it contains all of them.
    """
    given = os.environ.get("KUBEBUILDER_ASSETS")
    if given:
        programs = _programs_in(Path(given))
        if programs:
            return programs
    return {
        name: folder / name
        for module in CLUSTER_MODULES
        for folder in (build(module),)
        for name in module.programs
    }


def build(module: Module) -> Path:
    """The directory with the module's programs, built if this version is missing."""

    def run_go(folder: Path) -> None:
        with step(f"Build {module.title}{module.patience}"):
            _go_build(module, folder)

    return build_once(root() / "binaries" / f"{module.folder}-{_key(module)}", run_go)


def sources_of(package: str, module: Module) -> Path:
    """The directory with the sources of a Go module that our module requires."""
    found = _go("mod", "download", "-json", package, folder=_MODULES / module.folder)
    return Path(json.loads(found)["Dir"])


def _programs_in(folder: Path) -> dict[str, Path]:
    """The programs in a directory given by the user; none unless it has them all."""
    names = [name for module in CLUSTER_MODULES for name in module.programs]
    absent = [name for name in names if not os.access(folder / name, os.X_OK)]
    if absent:
        say(f"KUBEBUILDER_ASSETS has no {', '.join(absent)}: own builds are used instead.")
        return {}
    return {name: folder / name for name in names}


def _key(module: Module) -> str:
    sources = sorted(path for path in (_MODULES / module.folder).iterdir() if path.is_file())
    return key(
        *(path.read_bytes() for path in sources),
        *module.programs.values(),
        *_build_flags(module),
        _go("version", folder=_MODULES / module.folder),
    )


def _build_flags(module: Module) -> list[str]:
    return ["-trimpath", "-ldflags", f"-s -w {module.version_flag}".strip()]


def _go_build(module: Module, target: Path) -> None:
    for name, package in module.programs.items():
        _go(
            *("build", *_build_flags(module), "-o", str(target / name), package),
            folder=_MODULES / module.folder,
        )


def _go(*arguments: str, folder: Path) -> str:
    environment = os.environ | {"CGO_ENABLED": "0"}
    try:
        done = subprocess.run(
            ["go", *arguments], cwd=folder, env=environment, capture_output=True, text=True
        )
    except FileNotFoundError:
        raise Missing("There is no Go on the PATH to build the cluster with.") from None
    if done.returncode:
        raise RuntimeError(f"go {' '.join(arguments)} failed in {folder}:\n{done.stderr.strip()}")
    return done.stdout
