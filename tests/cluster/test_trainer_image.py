# SPDX-License-Identifier: Apache-2.0
"""The trainer's image has the requirements of a training on a GPU, as far as can be verified
without one.

One pod that meets the restricted standard runs `inside_image` in the image and prints the results.
Only a GPU can show that the kernels compute correctly: tests/gpu.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.jobs import Jobs, until
from testbed.images import TRAINER

pytestmark = pytest.mark.cluster

NAME = "inside-image"
SCRIPTS = Path(__file__).parent / "inside_image"
DRIVER_FOLDER = "/usr/local/nvidia/lib64"
"""Where GKE mounts the driver."""

ARCHITECTURES = {"75": "Turing", "80": "Ampere", "90": "Hopper", "100": "Blackwell"}

TRL = {
    "trl.kernels.chunked_logprob._forward_kernel",
    "trl.kernels.chunked_logprob._backward_kernel",
}
LIGER = {
    "liger_kernel.ops.cross_entropy.liger_cross_entropy_kernel",
    "liger_kernel.ops.geglu._geglu_tanh_backward_kernel",
    "liger_kernel.ops.geglu._geglu_tanh_forward_kernel",
    "liger_kernel.ops.layer_norm._layer_norm_backward_kernel",
    "liger_kernel.ops.layer_norm._layer_norm_forward_kernel",
    "liger_kernel.ops.rms_norm._rms_norm_backward_kernel",
    "liger_kernel.ops.rms_norm._rms_norm_forward_kernel",
    "liger_kernel.ops.rope._triton_rope",
    "liger_kernel.ops.utils.element_mul_kernel",
}
LIGER_SWIGLU = {f"liger_kernel.ops.swiglu._swiglu_{way}_kernel" for way in ("forward", "backward")}
"""On Blackwell Liger has others, `..._tiled`, for rows of the tested width."""

BITSANDBYTES = {
    *("kQuantizeBlockwise", "kDequantizeBlockwise", "gemm_4bit_simt", "kgemm_4bit_inference_naive"),
    *("kInt8VectorQuant", "kdequant_mm_int32_fp16", "kOptimizer32bit1State"),
    *("kOptimizer32bit2State", "kOptimizerStatic8bit2StateBlockwise"),
}
"""4 and 8 bits, and its optimizers."""

BY_NAME = {"libibverbs", "libmlx5", "libnccl", "libcudart", "libcublas", "libcublasLt", "libcudnn"}


@pytest.fixture(scope="module")
def found(jobs: Jobs) -> Iterator[dict[str, Any]]:
    """The output of the scripts in the image."""
    scripts = {path.name: path.read_text() for path in SCRIPTS.glob("*.py")}
    jobs.run("create", "-f", "-", input=json.dumps(_config_map(scripts)))
    jobs.run("create", "-f", "-", input=json.dumps(_pod()))
    phase = ""
    for _ in until(540, every=2):
        phase = jobs.run("get", "pod", NAME, "-o", "jsonpath={.status.phase}")
        if phase in ("Succeeded", "Failed"):
            break
    log = jobs.run("logs", NAME)
    assert phase == "Succeeded", log
    yield json.loads(log.splitlines()[-1])
    jobs.run("delete", "pod,configmap", NAME, "--wait=false")


def _config_map(scripts: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME},
        "data": scripts,
    }


def _pod() -> dict[str, Any]:
    """As the operator builds them, but without the job's fields, and with a mount for a driver."""
    folders = {"work": "/work", "tmp": "/tmp", "driver": DRIVER_FOLDER}
    mounts = [{"name": name, "mountPath": folder} for name, folder in folders.items()]
    container = {
        "name": "trainer",
        "image": TRAINER.tag,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "/inside_image", DRIVER_FOLDER],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [*mounts, {"name": "scripts", "mountPath": "/inside_image"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [
                {"name": "scripts", "configMap": {"name": NAME}},
                *({"name": name, "emptyDir": {}} for name in folders),
            ],
        },
    }


def test_the_trainer_image_is_probed_as_its_user_on_a_read_only_root(
    found: dict[str, Any],
) -> None:
    assert found["user"] == 65532
    assert found["rootIsReadOnly"]


def test_tritons_driver_is_ready_with_nvidias_libraries_where_gke_mounts_them(
    found: dict[str, Any],
) -> None:
    assert "Please make sure GPU is set up" in found["driverWithoutLibcuda"]
    assert found["driver"] == "ready"


def test_tritons_driver_is_not_ready_without_a_c_compiler(found: dict[str, Any]) -> None:
    assert "Failed to find C compiler" in found["driverWithoutCompiler"]


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=ARCHITECTURES.get)
def test_trls_loss_compiles_to_machine_code(found: dict[str, Any], architecture: str) -> None:
    assert set(found["triton"][architecture]) >= TRL


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=ARCHITECTURES.get)
def test_ligers_kernels_compile_to_machine_code(found: dict[str, Any], architecture: str) -> None:
    is_blackwell = architecture == "100"
    swiglu = {f"{name}_tiled" for name in LIGER_SWIGLU} if is_blackwell else LIGER_SWIGLU

    assert set(found["triton"][architecture]) - TRL == LIGER | swiglu


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=ARCHITECTURES.get)
def test_bitsandbytes_includes_machine_code(found: dict[str, Any], architecture: str) -> None:
    assert set(found["bitsandbytes"][architecture]) >= BITSANDBYTES


def test_each_library_that_nccl_torch_and_bitsandbytes_load_by_name_loads(
    found: dict[str, Any],
) -> None:
    assert found["libraries"]["missing"] == []
    assert set(found["libraries"]["loaded"]) >= BY_NAME
