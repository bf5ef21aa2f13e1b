"""Runs pods on this machine, without Kubernetes and without containers.

The nouns: the *pod parent* is the preloaded process that every pod process is forked from; the *pod network*
gives each pod its addresses on the loopback interface; the *image table* says which command stands for a
container image; a *workload* is what a Deployment asks for; the *runtime* keeps pods as the store's
Deployments want them and writes each pod's state back to the store.

Knows `minimesh.config`; must not know the control plane or the data plane: what a proxy process runs is an
entry point that the command line hands over.
"""
