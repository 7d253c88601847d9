# SPDX-License-Identifier: Apache-2.0
"""The report: one HTML page that needs nothing else, on paper, light or dark. Pure."""

from html import escape

from finetune_trainer.publication.report import sections
from finetune_trainer.publication.report.story import Story
from finetune_trainer.publication.report.style import STYLE

SECTIONS = (
    sections.summary,
    sections.curves,
    sections.answers,
    sections.data,
    sections.course,
    sections.config,
    sections.origins,
)
"""In the order of the page; a new part is one function and one entry."""


def report_page(story: Story) -> str:
    """The whole page."""
    name = escape(story.run.job.name)
    body = "".join(section(story) for section in SECTIONS)
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{name}: fine-tuning report</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )
