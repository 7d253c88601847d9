# SPDX-License-Identifier: Apache-2.0
"""Where models, data and artifacts lie: object stores and folders behind one protocol.

Doors: `store.open_store` and `locations`.

- `locations`: what a name in a config means: a place in a store, a path, or a hub name.
- `store`: the protocol, and the one door `open_store`.
- `cloud`: `s3://`, `gs://` and `az://` by obstore. The only module that imports it.
- `credentials`: which explicit way of signing the environment gives; `variables`: whether its
  values can be sent.
- `store_answers`, `refusals`, `explanation`: what a store's refusal says, what it means (the
  table), and what is raised for it. `bucket_region` asks for the region that a redirect lacks.
- `folder`: `file://`, written so that a crash leaves no half file.
- `web`: single files by `https://`.
- `transfer`: many files at once, with a second try for each.
"""
