# SPDX-License-Identifier: Apache-2.0
"""The documents that two images of different versions exchange; standard library only.

- `run`: the run document, which the operator writes and the trainer reads.
- `progress`, `answers`: the reports that a running trainer sends every few seconds.
- `outcome`: the trainer's termination message, and its exit codes.
- `reasons`: the only table of failure reasons; every failure is built from it.
- `layout`: the paths in the object store.
- `mounts`: paths and environment variables inside the trainer container.
- `codec`: dataclasses to JSON objects and back. `documents`: parses a text into a JSON object and
  rejects one that is too deep. `shallow`: the same for objects that must be read anyway.
- `limits`: the maximum length of a document and of each text in it.
- `object_names`: which texts can be the names of Kubernetes objects.
- `printable`: makes such a text safe for a terminal or a log.
"""
