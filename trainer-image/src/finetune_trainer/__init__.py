# SPDX-License-Identifier: Apache-2.0
"""The trainer: fetch, check, train, verify, publish, report. In reading order:

- `supervisor`: the container's first process; `command_line`: `finetune`. Both lead to
- `attempt`: the straight line; every ending is an outcome.
- `fetching`, `storage`: models and data, from object stores, folders and the hub.
- `plan`, `hardware`: run + hardware -> the config that TRL parses. Pure.
- `launching`, `orders`, `rank_results`: starting the ranks, what they are told and what they tell.
- `ranks`: what runs in them. The only part, with `config_schema`, that imports torch.
- `checkpoints`, `checkpoint_upload`, `manifest`: saved while training goes on, manifest last.
- `publication`, `report`, `history`: the artifact and what is told about it; `circumstances`,
  `origins`, `data_account`: what they are told from.
- `hub`: pushes it there too. `trackers`: what `report_to` names.
- `reporting`, `terminal`: progress, for the operator and for a person.
- `job_file`: a FineTuneJob without a cluster; `validate_command`, `file_check`: what is wrong with
  one. `source_lines`, `yaml_tree`, `yaml_scalars`, `yaml_syntax`: YAML as kubectl reads it.
- `failures`, `stopping`, `workspace`: what all of them share.
- `config_schema`: prints the config's JSON Schema, for `make generate`.
"""
