# SPDX-License-Identifier: Apache-2.0
"""`make demo`, the first command of the README."""

import re
from pathlib import Path

import pytest

from testbed import demo, images

pytestmark = [pytest.mark.storage, pytest.mark.slow]


def test_the_demo_produces_an_adapter_and_a_report(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "configs").symlink_to(images.REPOSITORY / "configs")

    code = demo.run(tmp_path)

    printed = "".join(capfd.readouterr())
    named = re.findall(r"^  (\.demo/\S+)", printed, re.MULTILINE)
    assert code == 0, printed
    assert "before" in printed
    assert len(named) == 3
    assert all((tmp_path / place).exists() for place in named)
