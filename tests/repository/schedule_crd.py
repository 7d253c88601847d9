# SPDX-License-Identifier: Apache-2.0
"""The spec of a schedule's jobs in its CRD: identical to that of a FineTuneJob.

`make generate` writes it, after the FineTuneJob's own; a test compares.
"""

import re
import textwrap

from repository.crd_config import CRD as JOBS

CRD = JOBS.with_name("finetuneschedules.yaml")

_BLOCK = re.compile(
    r"^( *)(# The spec of a FineTuneJob, copied from its own definition[^\n]*\n)"
    r".*?^ *(# End of what is copied\n)",
    re.DOTALL | re.MULTILINE,
)
_SPEC = re.compile(r"^            spec:\n(.*?)(?=^            status:\n)", re.DOTALL | re.MULTILINE)


def with_job_spec(schedules: str, jobs: str) -> str:
    """The text with the spec of jobs as in theirs."""
    found = _SPEC.search(jobs)
    assert found is not None
    spec = textwrap.dedent(found[1])

    def rewritten(block: re.Match[str]) -> str:
        indent, begin, end = block.groups()
        return f"{indent}{begin}{textwrap.indent(spec, indent)}{indent}{end}"

    return _BLOCK.sub(rewritten, schedules)


if __name__ == "__main__":
    CRD.write_text(with_job_spec(CRD.read_text(), JOBS.read_text()))
