# SPDX-License-Identifier: Apache-2.0
"""The commands of README and guides, taken from the files, as a reader types them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cluster.installation import NAMESPACE, REPOSITORY, Installation
from cluster.jobs import EXAMPLE, Resource
from cluster.shell import Shell
from support import guide as guides
from testbed import base_model, images, object_store, stock
from testbed.bucket import Bucket

pytestmark = pytest.mark.cluster

README = REPOSITORY / "README.md"
QUICKSTART = REPOSITORY / "docs" / "user" / "quickstart.md"
INSTALL = REPOSITORY / "docs" / "platform" / "install.md"
QUICKSTART_FILES = REPOSITORY / "configs" / "quickstart"

NOT_HERE = {
    "make demo": "tests/storage/test_demo.py",
    "make test": "this is it",
    "docker": "no engine here: buildah builds the same Dockerfiles, testbed.images",
    "kind": "no engine here: the testbed's cluster stands in for it",
    "helm install finetune-operator oci:": "tests/cluster/test_published_release.py",
    "kubectl krew": "tests/repository/test_plugin_archive.py",
    "pip install": "make setup has installed it",
    "export UV_TORCH_BACKEND": "PyPI alone is in reach",
    "uv pip compile": "make lock runs the same against PyPI",
}
"""Prefixes of commands that are not run, each with its replacement."""


class Reader(Shell):
    """Follows a guide."""

    def follow(self, guide: Path, instead: dict[str, str] | None = None) -> str:
        """Types the commands of a guide, with some replacements; returns the complete output."""
        printed = ""
        for shown in blocks_of(guide):
            block = guides.typed(shown, instead or {})
            done = self.type(_watching_ends(block))
            assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
            printed += done.stdout
        return printed


def blocks_of(guide: Path) -> list[str]:
    """Those that can be run here."""
    return guides.blocks_of(guide.read_text(), without=NOT_HERE)


def _watching_ends(block: str) -> str:
    """A person ends `kubectl get -w` when they have seen enough: here, that the job trains."""
    return re.sub(
        r"^(kubectl .* -w)$",
        r"grep -m1 -E 'Running|Succeeded' < <(timeout 300 \1 2>/dev/null)",
        block,
        flags=re.MULTILINE,
    )


@pytest.fixture
def reader(installation: Installation, tmp_path: Path) -> Iterator[Reader]:
    """In a cluster without the operator, which is restored afterwards."""
    if installation.cluster is None:
        pytest.skip("A given cluster's operator is not taken away.")
    installation.uninstall_release()
    try:
        yield Reader(installation.cluster.kubeconfig, NAMESPACE, tmp_path)
    finally:
        installation.install_release()


@pytest.mark.parametrize("beginning", NOT_HERE)
def test_each_command_the_test_skips_is_in_the_docs(beginning: str) -> None:
    shown = "\n".join(guide.read_text() for guide in (README, QUICKSTART, INSTALL))

    assert f"\n{beginning}" in shown


@pytest.fixture
def without_secret(installation: Installation) -> Iterator[None]:
    """The tests' namespace without the store's credentials, which a guide creates."""
    secret = stock.secret(installation.store_for_pods, NAMESPACE)
    installation.kubectl("delete", "-f", "-", input=secret)
    yield
    installation.kubectl("apply", "-f", "-", input=secret)


@pytest.mark.usefixtures("without_secret")
def test_the_commands_of_the_readme_work(
    reader: Reader, installation: Installation, first_job: Resource
) -> None:
    assert first_job["phase"] == "Succeeded"

    keys = guides.with_credentials(installation.store_for_pods)
    printed = reader.follow(README, {EXAMPLE.name: str(EXAMPLE)} | keys)
    reader.type("helm uninstall finetune-operator -n finetune-system --wait")

    assert "finetunejob.finetune.dev/first-job condition met" in printed
    assert "STATUS: deployed" in printed


@pytest.mark.long
def test_the_quick_start_produces_an_adapter(
    reader: Reader, installation: Installation, tmp_path: Path
) -> None:
    cluster = installation.cluster
    assert cluster is not None
    (image,) = re.findall(r"image: (.*)", (QUICKSTART_FILES / "object-store.yaml").read_text())
    images.build_around(object_store.weed(), f"docker.io/{image}", folder="/usr/bin/")
    cluster.load(f"docker.io/{image}")
    job = (QUICKSTART_FILES / "job.yaml").read_text()
    here = tmp_path / "job.yaml"
    here.write_text(job.replace("HuggingFaceTB/", "s3://models/"))
    assert here.read_text() != job

    printed = ""
    for block in blocks_of(QUICKSTART):
        # No hub is reachable: the model comes from the store.
        if "wait --for=condition=Complete" in block:
            _put_model(installation)
            block = block.replace("configs/quickstart/job.yaml", str(here))
        block = block.replace("./quickstart", str(tmp_path / "quickstart"))
        done = reader.type(_watching_ends(block))
        is_mistaken = "learning_rte" in block
        assert done.returncode == is_mistaken, f"{block}\n{done.stdout}{done.stderr}"
        printed += done.stdout + done.stderr * is_mistaken

    (mistake,) = re.findall(
        r"^The FineTuneJob \"mistaken\".*", QUICKSTART.read_text(), re.MULTILINE
    )
    assert mistake in printed
    assert "\ns3://models/quickstart/" in printed
    assert (tmp_path / "quickstart" / "report" / "report.html").is_file()
    # The plugin, which indents them further, shows them once more.
    assert printed.count("\n  before: ") == printed.count("\n  after:  ") == 3
    assert printed.count("\n    before: ") == printed.count("\n    after:  ") == 3


def _put_model(installation: Installation) -> None:
    """Into the quick start's own store."""
    where = ("-n", "quickstart", "-o", "json")
    cluster = installation.cluster
    assert cluster is not None
    service = json.loads(installation.kubectl("get", "service", "object-store", *where))["spec"]
    port = cluster.forward(service["clusterIP"], service["ports"][0]["port"])
    manifest = (QUICKSTART_FILES / "object-store.yaml").read_text()
    keys = next(yaml.safe_load_all(manifest))["stringData"]
    store = object_store.ObjectStore.given(
        endpoint=f"http://127.0.0.1:{port}",
        access_key=keys["AWS_ACCESS_KEY_ID"],
        secret_key=keys["AWS_SECRET_ACCESS_KEY"],
    )
    Bucket.of(store, stock.MODELS).upload(base_model.folder(), base_model.NAME)


@pytest.mark.long
def test_the_first_hour_guide_for_platform_teams_works(
    reader: Reader, installation: Installation, tmp_path: Path
) -> None:
    keys = installation.store_for_pods
    # The other first job owns its output location.
    job = tmp_path / "first-job.yaml"
    job.write_text(EXAMPLE.read_text().replace("s3://models/first-job", "s3://models/first-hour"))
    printed = reader.follow(
        INSTALL,
        {
            "configs/examples/first-job.yaml": str(job),
            # Its images are in a registry, its alerts need Prometheus' operator.
            "-f configs/helm/gpu-cluster.yaml": "",
            # The guide's store is Amazon's.
            "generic object-store": "generic object-store --from-literal=AWS_ENDPOINT_URL=...",
        }
        | guides.with_credentials(keys),
    )
    installation.kubectl("delete", "namespace", "research", "--wait=false")

    assert "first-job   Running" in printed
    assert 'release "finetune-operator" uninstalled' in printed
