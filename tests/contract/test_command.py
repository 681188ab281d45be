"""A server that is a program: its streams, its words, its end."""

import sys
from pathlib import Path

import anyio
import psutil
import pytest

from codex_jupyter.embedding import open_by_command
from codex_jupyter.errors import PeerClosedError, RemoteError
from codex_jupyter.protocol.jsonrpc import METHOD_NOT_FOUND
from codex_jupyter.transports import command
from codex_jupyter.transports.command import open_command
from tests.behaviour.conftest import Lab, lab
from tests.fake_model import say

__all__ = ["lab"]

pytestmark = pytest.mark.anyio

ECHO = """
import sys
for line in sys.stdin:
    print(line, end="", flush=True)
"""
LOUD = (
    """
import sys
sys.stderr.write("x" * 1_000_000)
sys.stderr.write("the last words\\n")
sys.stderr.flush()
"""
    + ECHO
)
DEAF = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('{"ready": 1}', flush=True)
while True:
    time.sleep(60)
"""


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


@pytest.mark.parametrize("source", [ECHO, LOUD])
async def test_messages_go_both_ways_whatever_it_says_beside(source: str) -> None:
    with anyio.fail_after(30):
        async with open_command(python(source)) as program:
            await program.streams.send([{"n": 1}, {"n": 2}])
            found = list(await program.streams.receive())
            while len(found) < 2:
                found += await program.streams.receive()
            assert found == [{"n": 1}, {"n": 2}]
        why = await program.why_ended("")
    assert "ended with status 0" in why
    assert ("the last words" in why) == (source is LOUD)
    assert len(why) < 5_000


async def test_one_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "END_LIMIT", 0.05)
    before = children()
    with anyio.fail_after(30):
        async with open_command(python(DEAF)) as program:
            await program.streams.receive()
            assert len(children() - before) == 1
            assert (await program.why_ended("it is deaf")).endswith("it is deaf")
    assert children() - before == set()
    assert "status -9" in await program.why_ended("")


async def test_a_cancelled_block_leaves_no_program() -> None:
    before = children()
    with anyio.fail_after(30):
        with anyio.CancelScope() as scope:
            async with open_command(python(ECHO)) as program:
                await program.streams.send([{"n": 1}])
                await program.streams.receive()
                assert len(children() - before) == 1
                scope.cancel()
                await anyio.sleep_forever()
    assert children() - before == set()


async def test_descriptors_are_given_back() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        async with open_command(python(ECHO)):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


async def test_a_program_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PeerClosedError, match="cannot be started: No such file"):
        async with open_command([str(tmp_path / "none")]):
            pass
    with pytest.raises(PeerClosedError, match="cannot be started: Permission denied"):
        async with open_command([str(tmp_path)]):
            pass


async def _answer(
    method: str, params: dict[str, object], request_id: str | int
) -> dict[str, object]:
    raise RemoteError(METHOD_NOT_FOUND, method)


async def test_a_client_of_a_program_says_why_it_ended(lab: Lab) -> None:
    source = "import sys; sys.exit('out of order')"
    with anyio.fail_after(30), pytest.raises(PeerClosedError, match="status 1: out of order"):
        async with open_by_command(python(source), answer=_answer):
            pass


async def test_a_client_talks_to_our_own_server_as_a_program(lab: Lab) -> None:
    lab.fake.add(say("Hello"))
    argv = ["env", f"CODEX_JUPYTER_HOME={lab.home}", "CODEX_JUPYTER_MODEL_PROVIDER=fake"]
    argv += [sys.executable, "-m", "codex_jupyter.cli", "app-server"]
    with anyio.fail_after(30):
        async with open_by_command(argv, answer=_answer) as client:
            opened = await client.call("thread/start", {"cwd": str(lab.workspace)})
            asked = {"input": [{"type": "text", "text": "Hi"}]}
            async with client.turn(opened["thread"]["id"], asked) as stream:
                heard = [method async for method, _ in stream]
    assert heard[-1] == "turn/completed"
