# SPDX-License-Identifier: Apache-2.0
"""`python -m finetune_results_page`: reads the settings, serves the page."""

import sys

from aiohttp import web

from finetune_results_page.logs import set_up_logs
from finetune_results_page.server import build_app
from finetune_results_page.settings import PageSettings


def main() -> int:
    try:
        settings = PageSettings.from_env()
        app = build_app(settings)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"finetune-results-page: {error}\n")
        return 2
    set_up_logs(settings.log_level)
    web.run_app(app, host=settings.listen_address, port=settings.port, print=None, access_log=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
