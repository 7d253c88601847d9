# SPDX-License-Identifier: Apache-2.0
"""Access to models, data and artifacts in object stores and directories through one protocol.

Doors: `store.open_store` and `locations`.

- `locations`: resolves a name in a config to a location in a store, a path, or a hub name.
- `store`: the protocol and its only constructor `open_store`.
- `cloud`: `s3://`, `gs://` and `az://` through obstore. The only module that imports it.
- `credentials`: the authentication method that the environment configures; `variables`: whether its
  values can be sent.
- `store_answers`, `refusals`, `explanation`: the text of a store's refusal, its meaning (the
  table), and the error raised for it. `bucket_region` requests the region that a redirect lacks.
- `folder`: `file://`, written so that a crash leaves no partial file.
- `web`: single files through `https://`.
- `transfer`: concurrent transfers of many files, with one retry for each.
"""
