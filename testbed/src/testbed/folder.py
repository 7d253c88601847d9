# SPDX-License-Identifier: Apache-2.0
"""The directory of a cluster's files."""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from testbed import cache, cgroups, object_store
from testbed.namespaces import Namespaces
from testbed.requirements import Missing

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")
_SOCKET_PATH_LIMIT = 107
"""The kernel's limit for a Unix socket."""


@dataclass(frozen=True, slots=True)
class Folder:
    """One cluster's files, below the cache, so that they are on the same file system."""

    name: str

    @classmethod
    def named(cls, name: str) -> "Folder":
        """The directory of a cluster with a name chosen by a person.

        Raises:
            ValueError: it is not a valid name.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(
                f'"{name}" cannot name a cluster: at most 20 of a-z, 0-9 and "-", '
                'and no "-" at either end.'
            )
        return cls(name)

    @property
    def path(self) -> Path:
        return _clusters() / self.name

    @property
    def pki(self) -> Path:
        return self.path / "pki"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def log(self, component: str) -> Path:
        """The component's log."""
        return self.logs / f"{component}.log"

    @property
    def kubeconfig(self) -> Path:
        """For the host: reaches the cluster through a forwarder."""
        return self.path / "kubeconfig"

    def kubeconfig_of(self, component: str) -> Path:
        """For a component inside."""
        return self.pki / f"{component}.kubeconfig"

    @property
    def object_store(self) -> Path:
        return self.path / "object-store"

    @property
    def audit_log(self) -> Path:
        return self.path / "audit.log"

    @property
    def containerd_socket(self) -> Path:
        return self.path / "containerd.sock"

    @property
    def containerd_root(self) -> Path:
        return self.path / "containerd" / "root"

    @property
    def cgroup(self) -> str:
        """The name of the cluster's subtree of cgroups, without a slash.

        Cgroups belong to the machine: in another cache there may be a cluster of the same name.
        """
        return f"finetune-testbed-{self.name}-{cache.key(str(self.path))[:6]}"

    @property
    def _lock(self) -> Path:
        return _clusters() / f"{self.name}.lock"

    @property
    def _connection(self) -> Path:
        return self.path / "connection.json"

    def create(self) -> None:
        """Creates the empty directory.

        Raises:
            FileExistsError: a cluster of this name exists.
        """
        if len(str(self.containerd_socket)) > _SOCKET_PATH_LIMIT:
            raise Missing(f"{self.path} is too long for a socket; set FINETUNE_CACHE to less.")
        _clusters().mkdir(parents=True, exist_ok=True)
        try:
            self.path.mkdir()
        except FileExistsError:
            raise FileExistsError(
                f"There is already a cluster {self.name}; end it first: python -m testbed --name "
                f"{self.name} down"
            ) from None
        for part in (self.pki, self.logs, self.path / "kubelet", self.path / "cni"):
            part.mkdir()

    def remove(self) -> None:
        """Removes a cluster's files; its processes must have ended."""
        cgroups.remove(self.cgroup)
        if self.object_store.exists():
            object_store.StoreSettings.of(self.object_store).remove_sockets()
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.unlink(missing_ok=True)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Marks the cluster as alive while this process lives."""
        with self._lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            print(os.getpid(), file=file, flush=True)
            yield

    @property
    def keeper(self) -> int | None:
        """The process that keeps the cluster; None when it has died."""
        with suppress(FileNotFoundError), self._lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read())
        return None

    def remember(self, connection: "Connection") -> None:
        """Records how to reach the cluster, for other processes."""
        self._connection.write_text(json.dumps(connection.__dict__))

    def connection(self) -> "Connection | None":
        """How to reach the cluster; None while it is starting, and after it has ended."""
        with suppress(FileNotFoundError):
            if self.keeper is not None:
                return Connection(**json.loads(self._connection.read_text()))
        return None


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach a running cluster."""

    pid: int
    """The id of the process that holds its namespaces."""
    object_store_port: int
    """On 127.0.0.1 of the host."""

    @property
    def namespaces(self) -> Namespaces:
        return Namespaces(self.pid)


def all_folders() -> list[Folder]:
    """The directories of all clusters on this machine, including dead ones."""
    return [Folder(path.name) for path in sorted(_clusters().glob("*")) if path.is_dir()]


def _clusters() -> Path:
    return cache.root() / "clusters"
