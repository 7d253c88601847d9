# SPDX-License-Identifier: Apache-2.0
"""The version of Kueue's API in docs, tests and operator is one that the testbed's Kueue serves."""

import re

from finetune_operator.objects.names import WORKLOADS
from repository.tracked import ROOT

API = re.compile(r"kueue\.x-k8s\.io/(v\d\w*)")
KUEUE = re.compile(r"sigs\.k8s\.io/kueue v0\.(\d+)")
FIRST_WITH_V1BETA2 = 15


def test_docs_and_cluster_tests_use_the_kueue_version_the_operator_tries_first() -> None:
    (newest, *_) = (kind.api_version for kind in WORKLOADS)
    files = ("docs/platform/queues.md", "tests/cluster/test_kueue.py")

    found = {version for file in files for version in API.findall((ROOT / file).read_text())}

    assert [f"kueue.x-k8s.io/{version}" for version in found] == [newest]


def test_the_testbeds_kueue_serves_that_version() -> None:
    module = (ROOT / "testbed" / "go" / "kueue" / "go.mod").read_text()

    (minor,) = KUEUE.findall(module)
    assert int(minor) >= FIRST_WITH_V1BETA2
