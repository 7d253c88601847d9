# SPDX-License-Identifier: Apache-2.0
"""The `__main__.py` of the archive of `kubectl finetune`: starts the command of the name it is
called by.

A copy or link named `finetune` is that command, and one named `kubectl_complete-finetune` answers
kubectl's completion. Any Python 3 can parse this file, so an older one gets a message.
"""

import os
import sys

PLUGIN = ("finetune_cli.cluster.command_line", "main")
COMMANDS = {
    "finetune": ("finetune_cli.local.command_line", "console"),
    "kubectl_complete-finetune": ("finetune_cli.cluster.completion", "main"),
}
TOO_OLD = "%s needs Python 3.11 or newer; %s is Python %d.%d"


def main() -> None:
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0]  # noqa: PTH119, PTH122
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.exit(TOO_OLD % (name, sys.executable, *sys.version_info[:2]))
    from importlib import import_module

    module, function = COMMANDS.get(name, PLUGIN)
    try:
        getattr(import_module(module), function)()
    except ModuleNotFoundError as error:
        from finetune_contract.outcome import ExitCode

        print(
            f"{name} as one file does not contain the package {error.name}, which this command "
            "needs: install it with its packages, pip install finetune-cli",
            file=sys.stderr,
        )
        sys.exit(int(ExitCode.USER))


if __name__ == "__main__":
    main()
