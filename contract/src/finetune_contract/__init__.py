# SPDX-License-Identifier: Apache-2.0
"""What the operator and the trainer agree on, so that the two images cannot drift apart.

Standard library only; neither image imports the other. In reading order:

- `run`: the run document, which the operator writes and the trainer reads.
- `progress`: what a running trainer reports every few seconds.
- `outcome`: what the trainer leaves in its termination log, and its exit codes.
- `layout`: where things lie in the object store.
- `mounts`: paths and environment variables inside the trainer container.
- `config`: checks a config against the schema of the pinned TRL.
- `documents`: reading JSON documents with errors that name the field.
"""
