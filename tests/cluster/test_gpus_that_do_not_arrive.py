# SPDX-License-Identifier: Apache-2.0
"""Jobs that request two GPUs, on a node where these are missing, too old or too small.

The node has no GPU: the scheduler counts an extended resource that was patched onto it, and the
trainer's image has a fake driver (`fake_gpus/libcuda.c`) where clusters mount the real one. Each
job's podTemplate configures that driver. All other parts are real.
"""

import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from cluster.installation import Installation
from cluster.jobs import Jobs, Resource, a_short_job
from support.fake_gpus import fake_driver
from testbed import images
from testbed.images import Image

pytestmark = pytest.mark.cluster

TAG = "localhost/finetune-trainer-with-fake-driver:dev"
RESOURCE = "nvidia.com/gpu.shared"
"""The name of time-sliced GPUs, so that no other test's pods are scheduled for them."""

WAYS: dict[str, dict[str, Any]] = {
    "missing": {"FAKE_GPUS": 1},
    "old-driver": {"FAKE_GPUS": 2, "FAKE_CUDA": 12040, "FAKE_DRIVER": "550.54.15"},
    "old-gpus": {"FAKE_GPUS": 2, "FAKE_GPU_NAME": "Tesla V100", "FAKE_GPU_CAPABILITY": 70},
    "small-gpus": {"FAKE_GPUS": 2, "FAKE_GPU_NAME": "Toy", "FAKE_GPU_GIB": 1},
    "idle-gpus": {"FAKE_GPUS": 2},
    "no-driver": {},
}


@pytest.fixture(scope="module")
def statuses(installation: Installation, jobs: Jobs) -> dict[str, Resource]:
    """The last status of a job for each case, by its name; they run at the same time."""
    if installation.cluster is None:
        pytest.skip("A given cluster's nodes are not given GPUs that they lack.")
    build_image()
    installation.cluster.load(TAG)
    installation.cluster.pretend_gpus(2 * len(WAYS), RESOURCE)
    for name, shown in WAYS.items():
        jobs.apply(a_job_of_two_gpus(name, shown))
    return {name: jobs.wait_for_end(f"gpus-{name}") for name in WAYS}


def build_image() -> None:
    """The trainer's, with the fake driver, which its own compiler builds."""
    folder = Path("/usr/local/nvidia/lib64")
    source = folder / fake_driver.SOURCE.name
    made = [fake_driver.build_command(source, folder / it) for it in fake_driver.LIBRARIES]
    lines = (
        f"FROM {images.TRAINER.tag}",
        "USER root",
        f"COPY {source.name} {source}",
        *(f"RUN {shlex.join(command)}" for command in made),
        "USER 65532:65532",
    )
    with tempfile.TemporaryDirectory() as context:
        shutil.copy(fake_driver.SOURCE, context)
        dockerfile = Path(context) / "Dockerfile"
        dockerfile.write_text("\n".join(lines) + "\n")
        images.build(Image(tag=TAG, dockerfile=dockerfile, context=Path(context)))


def a_job_of_two_gpus(name: str, shown: dict[str, Any]) -> Resource:
    job = a_short_job(f"gpus-{name}", steps=1)
    job["spec"]["resources"] |= {"gpusPerNode": 2, "gpuResource": RESOURCE}
    # One attempt is sufficient to see its end; the status shows which ones are retried.
    job["spec"]["retry"] = {"maxAttempts": 1}
    if shown:
        job["spec"]["image"] = TAG
        variables = [{"name": key, "value": str(value)} for key, value in shown.items()]
        container = {"name": "trainer", "env": variables}
        job["spec"]["podTemplate"] = {"spec": {"containers": [container]}}
    if name == "small-gpus":
        # The full model with its optimizer: 2 GiB, and no change of the batch makes that fit.
        for key in ("use_peft", "lora_r", "lora_alpha", "lora_target_modules"):
            del job["spec"]["config"][key]
        job["spec"]["config"]["learning_rate"] = 1e-5
    return job


@pytest.mark.parametrize(
    ("name", "reason", "category", "retryable", "sentence"),
    [
        pytest.param(
            "no-driver",
            "DriverMissing",
            "Platform",
            False,
            "the job requests 2 GPUs on each node, but its container has no NVIDIA driver",
            id="no driver in the container",
        ),
        pytest.param(
            "old-driver",
            "DriverTooOld",
            "Platform",
            False,
            "the node's NVIDIA driver 550.54.15 runs CUDA 12.4, but this image requires 13.0 "
            "(driver 580 or newer)",
            id="a driver that is too old",
        ),
        pytest.param(
            "missing",
            "GpuMissing",
            "Infrastructure",
            True,
            "the job requests 2 GPUs on each node, but the driver shows 1",
            id="one of two GPUs",
        ),
        pytest.param(
            "old-gpus",
            "GpuTooOld",
            "User",
            False,
            "Tesla V100 is sm_70, but this image has kernels from sm_75 on (CUDA 13.0)",
            id="GPUs that are too old",
        ),
        pytest.param(
            "small-gpus",
            "GpuTooSmall",
            "User",
            False,
            "on each GPU, but Toy has 1Gi",
            id="GPUs that are too small",
        ),
        pytest.param(
            "idle-gpus",
            "GpuMissing",
            "Infrastructure",
            True,
            "the ranks of this node require 2 GPUs, but torch detects 0",
            id="GPUs that are shown and do not compute",
        ),
    ],
)
def test_a_gpu_that_never_becomes_available_fails_the_job_with_its_reason(
    statuses: dict[str, Resource],
    name: str,
    reason: str,
    category: str,
    retryable: bool,
    sentence: str,
) -> None:
    status = statuses[name]
    failure = status["failure"]

    assert status["phase"] == "Failed"
    assert (failure["reason"], failure["category"]) == (reason, category)
    assert failure["retryable"] is retryable
    assert sentence in failure["message"]
    assert failure["remedy"]
    assert len(status["attempts"]) == 1
    assert "artifact" not in status


def test_no_job_that_requested_gpus_trained_without_them(
    statuses: dict[str, Resource],
) -> None:
    assert [
        name for name, status in statuses.items() if status.get("progress", {}).get("step")
    ] == []


@pytest.mark.parametrize(
    ("resource", "sentence"),
    [
        ("amd.com/gpu", "the trainer image is built for NVIDIA GPUs; set spec.image"),
        ("nvidia.com/mig-1g.10gb", "a CUDA process sees only one of them"),
    ],
)
def test_gpus_that_the_image_does_not_support_are_refused_at_apply(
    jobs: Jobs, resource: str, sentence: str
) -> None:
    job = a_job_of_two_gpus("unsupported", {})
    job["spec"]["resources"]["gpuResource"] = resource

    with pytest.raises(RuntimeError) as caught:
        jobs.apply(job)

    assert sentence in str(caught.value)
