# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes cluster and a real object store on one machine.

In reading order:

    cluster         Cluster, the door for tests: up, kubectl, load, restart, audit, down
    control_plane   ControlPlane, without a node: up in five seconds, for what needs no pod to run
    object_store    ObjectStore, a SeaweedFS that speaks S3, alone or beside a cluster
    images          built with buildah from the repository's Dockerfiles
    __main__        the same for people: python -m testbed up | down | kubectl ...

    folder          where a cluster keeps its files
    components      the command line of every component
    configuration   the files that components read
    certificates    who everyone is
    addresses       who lives where
    binaries        Kubernetes, etcd and CoreDNS from pinned Go modules, built once
    requirements    what the machine must offer, and what of it is missing
    startup         from empty namespaces to a cluster that can run a pod
    shutdown        from a cluster in whatever state to no trace of it
    readiness       waits until the cluster can run a pod
    containerd      gives a cluster's container runtime an image without copying it

    namespaces      a cluster's processes: enter, find, kill
    keeper          the process on the host that a cluster lives and dies with
    node            the first process inside
    forwarder       lets the host reach an address inside
    cgroups         a subtree of its own, so that two kubelets do not meet

    cache           what is kept between clusters
    daemon          a process that outlives the command that started it
    narration       says what takes time, and how long it took

A cluster is one set of Linux namespaces (processes, mounts, network). When its first process
ends, the kernel ends all others and drops every mount, interface and iptables rule with them;
only its folder and its cgroups are left to remove.
"""
