# SPDX-License-Identifier: Apache-2.0
"""A script that a user without the operator would write: fetch, `trl sft`, upload. Runs in a pod.

    python3 plain_sft.py CONFIG OUTPUT_URI

CONFIG is JSON; its model and data are in `s3://`.
"""

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from obstore.store import S3Store


def main(config: dict[str, object], output: str) -> None:
    print("phase Fetching")
    for key in ("model_name_or_path", "dataset_name"):
        config[key] = str(fetch(str(config[key]), Path(key)))
    config["output_dir"] = "output"
    Path("config.yaml").write_text(json.dumps(config))  # YAML has all of JSON
    print("phase Training")
    trl = [sys.executable, "-c", "from trl.cli import main; main()"]
    subprocess.run([*trl, "sft", "--config", "config.yaml"], check=True)
    print("phase Publishing")
    upload(Path("output"), output)
    print(f"published uri={output}")


def fetch(uri: str, folder: Path) -> Path:
    """Downloads what is below this URI; returns the folder."""
    store, prefix = place_of(uri)
    for page in store.list(prefix):
        for item in page:
            file = folder / Path(item["path"]).name
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(bytes(store.get(item["path"]).bytes()))
    return folder


def upload(folder: Path, uri: str) -> None:
    store, prefix = place_of(uri)
    for file in folder.rglob("*"):
        if file.is_file():
            store.put(f"{prefix}/{file.relative_to(folder)}", file)


def place_of(uri: str) -> tuple[S3Store, str]:
    parts = urlsplit(uri)
    store = S3Store(parts.netloc, client_options={"allow_http": True})
    return store, parts.path.strip("/")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2])
