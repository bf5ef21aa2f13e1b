"""`python -m minimesh`. Kept readable for any Python 3, so that an old one gets a reason, not a traceback."""

import errno
import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - old versions do run this line
    sys.exit(
        "minimesh needs Python 3.11 or newer, and this is {}.{}. "
        "Run it with a newer one, such as python3.12.".format(*sys.version_info[:2])
    )


def run() -> None:
    """The command line, Ctrl-C included: it may come while modules are imported."""
    try:
        _open_standard_streams()
        _run()
    except KeyboardInterrupt:
        sys.exit(128 + 2)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.exit("minimesh: cannot write {}: {}.".format(error.filename or "its output", error.strerror))


def _open_standard_streams() -> None:
    """Where the caller closed standard input or output (`<&-`, `>&-`), no socket is to get their numbers."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _run() -> None:
    """A proxy goes past click, which would stay in its memory for nothing."""
    if sys.argv[1:2] == ["proxy"]:
        from minimesh.data_plane.command import main as run_proxy

        sys.exit(run_proxy(sys.argv[2:]))
    from minimesh.cli.main import main

    main()


if __name__ == "__main__":
    run()
