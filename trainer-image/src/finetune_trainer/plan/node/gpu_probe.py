# SPDX-License-Identifier: Apache-2.0
"""Queries the GPUs from the NVIDIA driver through ctypes, as a separate program.

python3 -m finetune_trainer.plan.node.gpu_probe

It is a separate process because a broken driver can hang or crash its caller, and because the
supervisor must keep no GPU open next to its ranks.
"""

import ctypes
import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from finetune_contract.codec import document_of, read
from finetune_contract.documents import InvalidDocument
from finetune_trainer.plan.node.hardware import Driver, Gpu, Gpus, Hardware, hardware_of
from finetune_trainer.plan.node.torch_build import find_torch_build

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60.0
"""Without persistence mode each GPU takes some seconds to initialise."""

_LIBRARY = "libcuda.so.1"
_MANAGEMENT_LIBRARY = "libnvidia-ml.so.1"
_MAX_DEVICES = 64
_TEXT_BYTES = 128
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR in cuda.h."""


def find_hardware(environment: Mapping[str, str]) -> Hardware:
    """The part of this node that a process with this environment may use."""
    if find_torch_build().hip is not None:
        # ROCm shows each GPU as a device of its own, and has no such library.
        return replace(hardware_of(Gpus()), gpus=len(list(Path("/dev/dri").glob("renderD*"))))
    return hardware_of(find_gpus(environment))


def find_gpus(environment: Mapping[str, str]) -> Gpus:
    """The GPUs that a process with this environment would see; `trouble` has the problem, if
    any.
    """
    command = [sys.executable, "-m", "finetune_trainer.plan.node.gpu_probe"]
    try:
        done = subprocess.run(
            command, env=dict(environment), capture_output=True, timeout=TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        return Gpus(trouble=f"the NVIDIA driver did not answer for {TIMEOUT_SECONDS:.0f} s")
    try:
        return read(Gpus, done.stdout, "GPU probe")
    except InvalidDocument as error:
        log.warning("GPU probe failed rc=%d stderr=%.500r", done.returncode, done.stderr)
        if done.returncode < 0:
            return Gpus(trouble=f"the NVIDIA driver crashed (signal {-done.returncode})")
        return Gpus(trouble=f"the NVIDIA driver could not be queried: {error}")


def ask_driver() -> Gpus:
    """The driver's information; this program prints it as a document."""
    try:
        cuda = ctypes.CDLL(_LIBRARY)
    except OSError:
        return Gpus()
    version = ctypes.c_int(0)
    if (code := cuda.cuDriverGetVersion(ctypes.byref(version))) != 0:
        # The library of CUDA's development kit, a stub for linking.
        return Gpus(trouble=f"cuDriverGetVersion: {_name_of(cuda, code)}")
    driver = Driver(cuda=version.value, version=_driver_version())
    if (code := cuda.cuInit(0)) != 0:
        return Gpus(driver=driver, trouble=f"cuInit: {_name_of(cuda, code)}")
    count = ctypes.c_int(0)
    if (code := cuda.cuDeviceGetCount(ctypes.byref(count))) != 0:
        return Gpus(driver=driver, trouble=f"cuDeviceGetCount: {_name_of(cuda, code)}")
    places = range(min(count.value, _MAX_DEVICES))
    return Gpus(driver=driver, devices=tuple(_ask_device(cuda, place) for place in places))


def _ask_device(cuda: ctypes.CDLL, place: int) -> Gpu:
    device, memory = ctypes.c_int(0), ctypes.c_size_t(0)
    name = ctypes.create_string_buffer(_TEXT_BYTES)
    cuda.cuDeviceGet(ctypes.byref(device), place)
    cuda.cuDeviceGetName(name, _TEXT_BYTES, device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    return Gpu(
        name=name.value.decode(errors="replace"),
        capability=(
            _attribute(cuda, device, _CAPABILITY_MAJOR),
            _attribute(cuda, device, _CAPABILITY_MINOR),
        ),
        memory_bytes=memory.value,
    )


def _attribute(cuda: ctypes.CDLL, device: ctypes.c_int, kind: int) -> int:
    value = ctypes.c_int(0)
    cuda.cuDeviceGetAttribute(ctypes.byref(value), kind, device)
    return value.value


def _name_of(cuda: ctypes.CDLL, code: int) -> str:
    """CUDA_ERROR_NO_DEVICE for 100."""
    text = ctypes.c_char_p()
    if cuda.cuGetErrorName(code, ctypes.byref(text)) == 0 and text.value:
        return f"{text.value.decode(errors='replace')} ({code})"
    return f"error {code}"


def _driver_version() -> str:
    """The driver's own version, such as 580.65.06; empty if its library is not mounted."""
    text = ctypes.create_string_buffer(_TEXT_BYTES)
    try:
        library = ctypes.CDLL(_MANAGEMENT_LIBRARY)
        if library.nvmlInit_v2() != 0:
            return ""
        answer = library.nvmlSystemGetDriverVersion(text, _TEXT_BYTES)
        library.nvmlShutdown()
    except (OSError, AttributeError):
        return ""
    return text.value.decode(errors="replace") if answer == 0 else ""


if __name__ == "__main__":
    print(json.dumps(document_of(ask_driver())))
