# SPDX-License-Identifier: Apache-2.0
"""The information of a node's driver about its GPUs, with a fake driver: test machines have no
GPU.
"""

import shutil
from pathlib import Path

import pytest

from finetune_trainer.plan.node.gpu_probe import find_gpus
from finetune_trainer.plan.node.hardware import Driver, Gpu
from support.fake_gpus.fake_driver import build_driver, variables

pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None, reason="The fake driver is built with gcc."
)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_driver(tmp_path_factory.mktemp("driver"))


def test_gpus_are_found_with_name_generation_and_memory(driver: Path) -> None:
    found = find_gpus(
        variables(driver, gpus=2, gpu_name="NVIDIA L4", gpu_capability=89, gpu_gib=22)
    )

    one = Gpu(name="NVIDIA L4", capability=(8, 9), memory_bytes=22 * 2**30)
    assert found.devices == (one, one)
    assert found.driver == Driver(cuda=13000, version="580.65.06")
    assert found.trouble == ""
    assert str(found) == "2 x NVIDIA L4, driver 580.65.06 (CUDA 13.0)"


def test_hidden_gpus_are_not_counted(driver: Path) -> None:
    environment = {**variables(driver, gpus=4), "CUDA_VISIBLE_DEVICES": "2,3"}

    assert len(find_gpus(environment).devices) == 2


def test_a_container_without_a_driver_has_no_gpu_and_no_driver(tmp_path: Path) -> None:
    found = find_gpus(variables(tmp_path))

    assert found.devices == ()
    assert found.driver is None


@pytest.mark.parametrize(
    ("settings", "trouble"),
    [
        pytest.param({"gpus": 0}, "cuInit: CUDA_ERROR_NO_DEVICE (100)", id="no device"),
        pytest.param(
            {"gpus": 2, "cuinit": 999}, "cuInit: CUDA_ERROR_UNKNOWN (999)", id="broken driver"
        ),
        pytest.param(
            {"gpus": 2, "crash": 1}, "the NVIDIA driver crashed (signal 11)", id="a crash"
        ),
    ],
)
def test_the_drivers_message_about_a_missing_gpu_is_kept(
    driver: Path, settings: dict[str, int], trouble: str
) -> None:
    found = find_gpus(variables(driver, **settings))

    assert found.devices == ()
    assert found.trouble == trouble
