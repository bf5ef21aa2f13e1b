"""`python -m minimesh`. Kept readable for any Python 3, so that an old one gets a reason, not a traceback."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - old versions do run this line
    sys.exit(
        "minimesh needs Python 3.11 or newer, and this is {}.{}. "
        "Run it with a newer one, such as python3.12.".format(*sys.version_info[:2])
    )

from minimesh.cli.main import main

if __name__ == "__main__":
    main()
