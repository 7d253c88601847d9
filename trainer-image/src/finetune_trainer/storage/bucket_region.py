# SPDX-License-Identifier: Apache-2.0
"""Finds the region of a bucket if a store's redirect does not name it.

S3 answers this without a signature, in every region.
"""

from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

_HEADER = "x-amz-bucket-region"
TIMEOUT_SECONDS = 10


def find_region(endpoint: str, bucket: str) -> str:
    """The region that the store names; empty if it names none or does not respond."""
    url = f"{endpoint.rstrip('/')}/{quote(bucket)}"
    if not url.startswith(("http://", "https://")):
        return ""
    try:
        request = Request(url, method="HEAD")  # noqa: S310 - the scheme is checked above
        with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            return str(answer.headers.get(_HEADER) or "")
    except HTTPError as error:
        # Redirects and refusals have the header too.
        return str(error.headers.get(_HEADER) or "")
    except (OSError, HTTPException, ValueError):
        return ""
