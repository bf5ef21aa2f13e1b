"""`kubectl exec` for real: output, errors, input, exit codes, terminals."""

from __future__ import annotations

import asyncio
import os
import shutil

import pytest

from tests.kubernetes.conftest import KUBECTL, Kubectl
from tests.kubernetes.manifests import POD


@pytest.fixture
async def pod(kubectl: Kubectl) -> Kubectl:
    await kubectl.apply(POD)
    return kubectl


async def test_output_and_errors_stay_apart(pod: Kubectl) -> None:
    said = await pod.says("exec", "sleep", "-c", "sleep", "--", "sh", "-c", "echo out; echo err >&2")
    assert (said.out, said.err, said.code) == ("out\n", "err\n", 0)


async def test_the_command_has_the_containers_environment(pod: Kubectl) -> None:
    out = await pod("exec", "sleep", "-c", "istio-proxy", "--", "sh", "-c", "echo $CONTAINER")
    assert out == "default/sleep/istio-proxy\n"


async def test_exit_codes_are_passed_on(pod: Kubectl) -> None:
    said = await pod.says("exec", "sleep", "-c", "sleep", "--", "sh", "-c", "exit 7")
    assert (said.err, said.code) == ("command terminated with exit code 7\n", 7)


async def test_a_signal_counts_as_in_a_shell(pod: Kubectl) -> None:
    said = await pod.says("exec", "sleep", "-c", "sleep", "--", "sh", "-c", "kill -9 $$")
    assert said.code == 137


async def test_input_is_passed_to_its_end(pod: Kubectl) -> None:
    text = "".join(f"line {number}\n" for number in range(20_000))
    said = await pod.says("exec", "-i", "sleep", "-c", "sleep", "--", "cat", stdin=text)
    assert said.out == text


async def test_a_program_that_is_not_there(pod: Kubectl) -> None:
    said = await pod.says("exec", "sleep", "-c", "sleep", "--", "no-such-program")
    assert said.code == 127
    assert "'no-such-program' is not installed" in said.err


async def test_a_container_that_is_not_there(pod: Kubectl) -> None:
    assert "container nope" in await pod.refused("exec", "sleep", "-c", "nope", "--", "true")


@pytest.mark.skipif(shutil.which("script") is None, reason="needs script(1), which makes a terminal")
async def test_a_terminal(pod: Kubectl) -> None:
    program = "test -t 0 && tty && exit 3"
    command = f"{KUBECTL} --kubeconfig {pod.kubeconfig} exec -it sleep -c sleep -- sh -c '{program}'"
    process = await asyncio.create_subprocess_exec(
        "script", "-qec", command, "/dev/null", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(20):
        # What is typed before kubectl has the terminal is echoed by it: the end of the input too.
        out = await process.stdout.read()
        process.stdin.close()
        assert await process.wait() == 3
    assert out.startswith(b"/dev/pts/")


async def test_the_program_ends_when_the_client_goes(pod: Kubectl) -> None:
    held = pod.folder / "held-while-it-lives"
    os.mkfifo(held)
    until_closed = asyncio.create_task(asyncio.to_thread(held.read_bytes))
    program = f"exec 3>{held}; echo started; exec sleep 600"
    process = await pod.start("exec", "sleep", "-c", "sleep", "--", "sh", "-c", program)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"started\n"
        process.kill()
        await process.communicate()
        assert await until_closed == b""
