"""Runs pods on this machine, without Kubernetes and without containers.

The nouns: the *pod parent* is the preloaded process that every pod process is forked from; the *pod network*
gives each pod its addresses on the loopback interface; the *image table* says which command stands for a
container image; a *workload* is one Pod of the store that is to run; the *runtime* starts and ends pods as
the store asks for them and writes each one's state back.

Knows `minimesh.config`; must not know the control plane or the data plane: what a proxy process runs is an
entry point that the command line hands over.
"""
