# SPDX-License-Identifier: Apache-2.0
"""The harness for people: python -m testbed --help."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from testbed import helm, images, requirements
from testbed.cluster import Cluster
from testbed.folder import Folder, all_folders
from testbed.images import Image
from testbed.narration import say, step
from testbed.shutdown import end

_DEFAULT_NAME = "dev"

Subcommand = Callable[[argparse.Namespace], None]


def main() -> None:
    """Runs one command; a failure is a sentence, not a traceback."""
    arguments = _parser().parse_args()
    run: Subcommand = arguments.run
    try:
        run(arguments)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader of our output, for example head, has read enough.
        os._exit(0)
    except (LookupError, OSError, RuntimeError, ValueError) as failure:
        raise SystemExit(str(failure)) from None


def _up(arguments: argparse.Namespace) -> None:
    if arguments.name in {folder.name for folder in all_folders() if folder.connection()}:
        say(f"Cluster {arguments.name} is up already.")
    else:
        cluster = Cluster.create(arguments.name, owned=False)
        for image in images.OURS.values():
            if images.exists(image.tag):
                cluster.load(image.tag)
    _print_usage(Cluster.find(arguments.name))


def _print_usage(cluster: Cluster) -> None:
    store = cluster.object_store
    name = "" if cluster.name == _DEFAULT_NAME else f" --name {cluster.name}"
    say("")
    print(f"""\
export KUBECONFIG={cluster.kubeconfig}
export AWS_ENDPOINT_URL={store.endpoint}
export AWS_ACCESS_KEY_ID={store.access_key}
export AWS_SECRET_ACCESS_KEY={store.secret_key}""")
    say(f"""
Pods reach the object store at {cluster.object_store_endpoint_for_pods}
kubectl without an export:     python -m testbed{name} kubectl get pods -A
Build and load new images:     python -m testbed{name} images
End it and remove it:       python -m testbed{name} down""")


def _down(arguments: argparse.Namespace) -> None:
    folders = all_folders() if arguments.all else [Folder.named(arguments.name)]
    for folder in folders:
        if not folder.path.exists():
            raise LookupError(f"There is no cluster {folder.name}.")
        with step(f"Remove cluster {folder.name}"):
            end(folder)


def _status(_: argparse.Namespace) -> None:
    folders = all_folders()
    if not folders:
        print("No cluster is up.")
    for folder in folders:
        if folder.connection() is None:
            print(f"{folder.name}: starting, or left over; python -m testbed down removes it")
            continue
        cluster = Cluster.find(folder.name)
        ended = cluster.ended()
        state = f"ended: {', '.join(ended)}" if ended else "all components run"
        print(f"{folder.name}: {state}; KUBECONFIG={cluster.kubeconfig}")


def _kubectl(arguments: argparse.Namespace) -> None:
    command = Cluster.find(arguments.name).kubectl_command(*arguments.words)
    os.execv(command[0], command)  # noqa: S606 - no shell is needed


def _helm(arguments: argparse.Namespace) -> None:
    environment = os.environ | {"KUBECONFIG": str(Cluster.find(arguments.name).kubeconfig)}
    words = ["helm", *arguments.words]
    os.execve(helm.program(), words, environment)  # noqa: S606 - no shell is needed


def _exec(arguments: argparse.Namespace) -> None:
    command = Cluster.find(arguments.name).command_inside(*arguments.words)
    os.execvp(command[0], command)  # noqa: S606 - no shell is needed


def _images(arguments: argparse.Namespace) -> None:
    chosen: list[Image] = arguments.images or list(images.OURS.values())
    for image in chosen:
        images.build(image)
    if Folder.named(arguments.name).connection():
        cluster = Cluster.find(arguments.name)
        for image in chosen:
            cluster.load(image.tag)


def _image(name: str) -> Image:
    if name not in images.OURS:
        raise argparse.ArgumentTypeError(f"there is no {name}, only {', '.join(images.OURS)}")
    return images.OURS[name]


def _install(arguments: argparse.Namespace) -> None:
    Cluster.find(arguments.name).install(*arguments.manifests)


def _stock(arguments: argparse.Namespace) -> None:
    # Imported late: it uses the trainer's store client, which starting a cluster does not need.
    from testbed import stock

    cluster = Cluster.find(arguments.name)
    stock.fill(cluster.object_store, images.REPOSITORY / "configs")
    credentials = stock.environment(cluster.object_store, cluster.object_store_endpoint_for_pods)
    cluster.kubectl("apply", "-f", "-", input=stock.secret(credentials))
    say("kubectl apply -f configs/examples/first-job.yaml")


def _demo(_: argparse.Namespace) -> None:
    # Imported late: it imports the clients of the store and of the model, which nothing else here
    # needs.
    from testbed import demo

    raise SystemExit(demo.run(images.REPOSITORY))


def _logs(arguments: argparse.Namespace) -> None:
    print(Cluster.find(arguments.name).logs(arguments.component))


def _diagnose(arguments: argparse.Namespace) -> None:
    print(Cluster.find(arguments.name).diagnose())


def _restart(arguments: argparse.Namespace) -> None:
    Cluster.find(arguments.name).restart(arguments.component)


def _prepare(arguments: argparse.Namespace) -> None:
    # Imported late: it uses the trainer's model client.
    from testbed import preparation

    if reasons := requirements.missing():
        say(" ".join(reasons))
    else:
        preparation.PARTS[arguments.part]()


def _setup(_: argparse.Namespace) -> None:
    requirements.install()
    say("Everything a cluster needs from this machine is here.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m testbed",
        description="A real Kubernetes cluster and a real S3 on this machine.",
        epilog="Caches are below FINETUNE_CACHE or, without it, ~/.cache/finetune-operator.",
    )
    parser.add_argument(
        "--name", default=_DEFAULT_NAME, help="which cluster (default: %(default)s)"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, run: Subcommand, explanation: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=explanation, description=explanation)
        command.set_defaults(run=run)
        return command

    add("up", _up, "start a cluster, leave it running and say how to use it")
    down = add("down", _down, "end a cluster and remove every trace of it")
    down.add_argument("--all", action="store_true", help="every cluster on this machine")
    add("status", _status, "list the clusters and their running components")
    kubectl = add("kubectl", _kubectl, "run kubectl against the cluster")
    kubectl.add_argument("words", nargs=argparse.REMAINDER, metavar="...")
    chart = add("helm", _helm, "run helm against the cluster")
    chart.add_argument("words", nargs=argparse.REMAINDER, metavar="...")
    image = add("images", _images, "build the images; load them into the cluster if it is up")
    image.add_argument(
        "images", nargs="*", type=_image, metavar="|".join(images.OURS), help="default: all"
    )
    install = add("install", _install, "apply manifests and wait until they can be used")
    install.add_argument("manifests", nargs="+", type=Path, metavar="FOLDER")
    for name, run, explanation in (
        ("logs", _logs, "print the last lines of a component's log"),
        ("restart", _restart, "end a component and start it again"),
    ):
        add(name, run, explanation).add_argument("component", help="for example kube-apiserver")
    add("diagnose", _diagnose, "print pods, events and the components' last lines")
    inside = add("exec", _exec, "run a program of this machine in the node's network")
    inside.add_argument("words", nargs=argparse.REMAINDER, metavar="...")
    add(
        "stock",
        _stock,
        "put the data that the examples use into the object store and the default namespace",
    )
    add("demo", _demo, "fine-tune a real model here, without a cluster")
    prepare = add("prepare", _prepare, "fetch and build what tests need, unless it is cached")
    prepare.add_argument("part", choices=("cluster", "control-plane", "kueue", "peers"))
    add("setup", _setup, "install what a cluster needs from this machine")
    return parser


if __name__ == "__main__":
    main()
