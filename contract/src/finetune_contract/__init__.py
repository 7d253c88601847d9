# SPDX-License-Identifier: Apache-2.0
"""What two images of different age say to each other, and nothing else; standard library only.

- `run`: the run document, which the operator writes and the trainer reads.
- `progress`, `answers`: what a running trainer reports every few seconds.
- `outcome`: what the trainer leaves in its termination log, and its exit codes.
- `reasons`: the one table of failure reasons, from which failures are made.
- `layout`: where things lie in the object store.
- `mounts`: paths and environment variables inside the trainer container.
- `codec`: dataclasses as JSON objects and back. `documents`: from a text to a JSON object, which is
  refused where it is too deep. `shallow`: the same for what must be read all the same.
- `limits`: how long a document, and each text in it, may be.
- `printable`: how such a text is shown in a terminal or a log.
"""
