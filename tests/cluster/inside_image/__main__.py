# SPDX-License-Identifier: Apache-2.0
"""Checks on a node without GPUs what the trainer's image can do on a node with GPUs. Prints JSON.

It runs inside the image, in a pod, from a mounted directory: it can import nothing of the tests.
The one argument is the directory where a node's driver would be mounted.
"""

import json
import os
import sys
from pathlib import Path

import machine_code
import shared_libraries
import triton_driver
import triton_kernels


def main(driver_folder: Path) -> None:
    before = triton_driver.start_driver()
    linked_to_driver = [it for it in shared_libraries.files() if it.name == "libcaffe2_nvrtc.so"]
    triton_driver.make_libcuda(driver_folder, [triton_driver.source_of_triton(), *linked_to_driver])
    (bitsandbytes,) = [it for it in shared_libraries.files() if "bitsandbytes_cuda" in it.name]
    print(
        json.dumps(
            {
                "user": os.getuid(),
                "rootIsReadOnly": bool(os.statvfs("/").f_flag & os.ST_RDONLY),
                "driverWithoutLibcuda": before,
                "driver": triton_driver.start_driver(),
                "driverWithoutCompiler": triton_driver.start_driver(
                    PATH="/nonexistent",
                    TRITON_CACHE_DIR="/tmp/empty",
                ),
                "triton": triton_kernels.compile_all(),
                "bitsandbytes": machine_code.list_kernels(bitsandbytes),
                "libraries": shared_libraries.check_all(),
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
