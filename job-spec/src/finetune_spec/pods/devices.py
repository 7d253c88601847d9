# SPDX-License-Identifier: Apache-2.0
"""Checks the resource names with which a job requests GPUs and other devices. No I/O here."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from finetune_spec.config.problem import Problem, did_you_mean, quoted
from finetune_spec.pods.fields import POD

RESOURCES = "spec.resources"
DEFAULT_GPU = "nvidia.com/gpu"
NO_GPU_RESOURCE = "none"
"""The value for GPUs from resource claims."""

_SLICE = re.compile(r"nvidia\.com/mig-\d+g\.(\d{1,6})gb(\..*)?")
_GIB = 1024**3

_OTHER_VENDORS = {
    "amd.com": ("AMD GPUs", "a ROCm build of torch"),
    "gpu.intel.com": ("Intel GPUs", "an XPU build of torch"),
    "habana.ai": ("Gaudi accelerators", "Intel's build of torch"),
    "aws.amazon.com": ("Neuron accelerators", "AWS's build of torch"),
    "google.com": ("TPUs", "torch_xla"),
}
"""The hardware for each resource domain, and what an image requires to train on it."""


def check_devices(
    resources: Mapping[str, Any], pod: Mapping[str, Any], own_image: str | None
) -> Iterator[Problem]:
    """Missing claims, GPUs without a source, devices that this image cannot use or that exclude
    each other; `own_image` is the image that the job sets itself.
    """
    asked = resources.get("claims") or ()
    claims = [claim["name"] for claim in pod.get("resourceClaims") or ()]
    for place, claim in enumerate(asked):
        if claim["name"] not in claims:
            message = f"there is no {quoted(claim['name'])} in {POD}.resourceClaims"
            hint = did_you_mean(claim["name"], claims)
            yield Problem(path=f"{RESOURCES}.claims[{place}].name", message=f"{message}{hint}")
    for place, claim in enumerate(pod.get("resourceClaims") or ()):
        yield from _check_claim(claim, f"{POD}.resourceClaims[{place}]")
    gpus, name = resources.get("gpusPerNode", 1), resources.get("gpuResource", DEFAULT_GPU)
    if name == NO_GPU_RESOURCE and gpus and not asked:
        message = f"found none and no claims, but {gpus} GPUs on each node: name them in claims"
        yield Problem(path=f"{RESOURCES}.gpuResource", message=message)
    if _SLICE.fullmatch(name) and gpus > 1:
        message = (
            f"found {gpus} slices of {name}: a CUDA process sees only one of them, and NCCL "
            "cannot connect them; request one larger slice, or more nodes"
        )
        yield Problem(path=f"{RESOURCES}.gpusPerNode", message=message)
    if gpus:
        yield from _check_vendor(name, own_image)


def _check_vendor(resource: str, own_image: str | None) -> Iterator[Problem]:
    """The project's trainer image has torch for NVIDIA's GPUs. Other images are not checked here
    but by the trainer.
    """
    vendor = _OTHER_VENDORS.get(resource.partition("/")[0])
    if vendor is None or own_image:
        return
    device, needs = vendor
    message = (
        f"found {quoted(resource)}, which names {device}: the trainer image is built for NVIDIA "
        f"GPUs; set spec.image to an image with {needs}, or request {DEFAULT_GPU}"
    )
    yield Problem(path=f"{RESOURCES}.gpuResource", message=message)


def _check_claim(claim: Mapping[str, Any], path: str) -> Iterator[Problem]:
    sources = ("resourceClaimName", "resourceClaimTemplateName")
    if sum(source in claim for source in sources) != 1:
        yield Problem(path=path, message=f"expected one of {' and '.join(sources)}")


def gpu_bytes_of(resources: Mapping[str, Any], usual: int | None) -> int | None:
    """The memory of each GPU of a job, if known; `usual` is that of the cluster's GPUs."""
    name = resources.get("gpuResource", DEFAULT_GPU)
    if (found := _SLICE.fullmatch(name)) is not None:
        return int(found[1]) * _GIB
    return usual if name == DEFAULT_GPU else None
