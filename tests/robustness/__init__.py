"""What happens when everybody misbehaves: a real `minimesh proxy` process, measured from outside.

    process    the proxy: started on a static bootstrap; its memory, descriptors and time read from /proc
    bootstrap  the file it is started with
    origins    upstreams that behave, and such that do not
    load       clients that keep it busy and count what came back

Every test prints its figure (`pytest -s`, or in the report of a failure) and asserts a bound on it.
"""
