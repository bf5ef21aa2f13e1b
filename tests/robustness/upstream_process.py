"""An upstream in a process of its own, to be killed: `python -m tests.robustness.upstream_process PORT`."""

from __future__ import annotations

import asyncio
import sys

from tests.robustness.origins import good


async def main(port: int) -> None:
    async with good(port):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
