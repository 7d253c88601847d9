# SPDX-License-Identifier: Apache-2.0
"""The chart and the plain manifests of a release: they name the images of that release.

In the repository they name the images of `make images`. Everything else is unchanged.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from repository.archives import tar_gz
from repository.chart_files import value_lines, with_table
from repository.publication import CHART, Publication
from repository.tracked import ROOT, tracked_files
from testbed import images


def image_names(publication: Publication) -> dict[str, str]:
    """The name of each image in `make images` -> its name in the release."""
    return {
        image.tag: f"{publication.registry}/{_split(image.tag)[0].rpartition('/')[2]}"
        f":{publication.version}"
        for image in images.OURS.values()
    }


def chart_archive(publication: Publication) -> bytes:
    """The chart as in `helm package`, but without times: helm writes those of the files."""
    values = released_values((CHART / "values.yaml").read_text(), publication)
    files = {
        file.relative_to(CHART).as_posix(): file.read_bytes()
        for file in tracked_files()
        if file.is_relative_to(CHART)
    }
    readme = with_table(files["README.md"].decode(), values)
    files |= {"values.yaml": values.encode(), "README.md": readme.encode()}
    return tar_gz({f"{CHART.name}/{name}": content for name, content in files.items()})


def plain_manifests(publication: Publication) -> str:
    """The operator as `kubectl apply -k deploy` installs it, in one file."""
    folder = ROOT / "deploy"
    order = yaml.safe_load((folder / "Kustomization").read_text())["resources"]
    text = "\n---\n".join((folder / name).read_text().strip() for name in order) + "\n"
    for name, released in image_names(publication).items():
        text = text.replace(name, released)
    return text


def released_values(values: str, publication: Publication) -> str:
    """The chart's values, comments included, with the release's images as defaults.

    Raises:
        RuntimeError: an image has an unknown notation.
    """
    defaults = yaml.safe_load(values)
    changes = dict(_changes(defaults, "", image_names(publication)))
    lines = values.splitlines()
    for index, name, _ in value_lines(values):
        if name in changes:
            lines[index] = re.sub(r":.*", f": {changes.pop(name)}", lines[index], count=1)
    text = "\n".join(lines) + "\n"
    if changes or any(_split(name)[0] in text for name in image_names(publication)):
        raise RuntimeError(
            "charts/finetune-operator/values.yaml names an image of `make images` in an unknown "
            "form: expected a repository with a tag, or a whole reference, each on its own line"
        )
    return text


def _changes(values: Any, path: str, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Dotted name of a value -> its default in the release."""
    if isinstance(values, str) and values in names:
        yield path, names[values]
    if not isinstance(values, dict):
        return
    whole = f"{values.get('repository')}:{values.get('tag')}"
    if whole in names:
        repository, tag = _split(names[whole])
        yield _join(path, "repository"), repository
        yield _join(path, "tag"), f'"{tag}"'
    for key, value in values.items():
        yield from _changes(value, _join(path, key), names)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _split(reference: str) -> tuple[str, str]:
    repository, _, tag = reference.rpartition(":")
    return repository, tag
