# SPDX-License-Identifier: Apache-2.0
"""`make sbom`: input for the scanner of a security team."""

import json
import subprocess

import pytest

from repository.locks import pinned
from repository.tracked import ROOT


@pytest.mark.slow
def test_each_image_has_an_sbom_of_every_package_with_its_digests() -> None:
    subprocess.run(["make", "--silent", "sbom"], cwd=ROOT, check=True)

    for image in ("operator", "trainer", "results-page"):
        bill = json.loads((ROOT / "build" / "sbom" / f"{image}.cdx.json").read_text())
        lock = pinned(ROOT / "requirements" / f"{image}.txt")
        found = {part["name"]: part for part in bill["components"]}

        assert bill["bomFormat"] == "CycloneDX"
        assert bill["metadata"]["component"]["name"] == f"finetune-{image}"
        assert {name: part["version"] for name, part in found.items()} == lock
        assert all(part["externalReferences"][0]["hashes"] for part in found.values())
