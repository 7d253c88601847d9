# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes cluster and a real object store on one machine.

In reading order:

    cluster         Cluster, the door for tests: up, kubectl, load, restart, audit, down
    control_plane   ControlPlane, without a node: up in five seconds, for tests that run no pods
    object_store    ObjectStore, a SeaweedFS with an S3 API, alone or next to a cluster
    images          built with buildah from the repository's Dockerfiles
    __main__        the same for people: python -m testbed up | down | kubectl ...

    folder          the directory of a cluster's files
    components      the command line of every component
    configuration   the files that components read
    certificates    identities of the components
    addresses       IP addresses and ports
    binaries        Kubernetes, etcd and CoreDNS from pinned Go modules, built once
    requirements    requirements of the machine, and which of them are missing
    startup         from empty namespaces to a cluster that can run a pod
    shutdown        removes a cluster in any state completely
    readiness       waits until the cluster can run a pod
    containerd      gives a cluster's container runtime an image without copying it

    namespaces      a cluster's processes: enter, find, kill
    keeper          the process on the host that a cluster's lifetime is tied to
    node            the first process inside
    forwarder       lets the host reach an address inside
    cgroups         a separate subtree, so that two kubelets do not conflict

    cache           files kept between clusters
    daemon          a process that outlives the command that started it
    narration       reports slow steps and their duration

A cluster is one set of Linux namespaces (processes, mounts, network). When its first process
ends, the kernel ends all others and drops every mount, interface and iptables rule with them;
only its directory and its cgroups remain to be removed.
"""
