import sys
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import psutil
import pytest

from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.tools.output import KEEP_BYTES, LIVE_NOTE
from codex_jupyter.tools.shell import Command, CommandResult, run_command

pytestmark = pytest.mark.anyio

THREE_SLEEPS = "for n in 1 2 3; do sleep 300 >/dev/null 2>&1 & echo $!; done; "
DAEMON = "(setsid sh -c 'echo $$; exec sleep 300 </dev/null >/dev/null 2>&1' &); "


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def shell(script: str, cwd: Path = Path("/"), timeout: float = 20.0) -> Command:
    return Command(("sh", "-c", script), cwd, timeout, {"PATH": "/usr/bin:/bin"})


async def run(command: Command, token: CancelToken | None = None) -> CommandResult:
    sent: list[str] = []
    with anyio.fail_after(30):
        result = await run_command(command, on_output=sent.append, token=token or CancelToken())
    if not result.omitted_bytes:
        assert "".join(sent) == result.output
    return result


async def run_until(
    command: Command, lines: int, stop: Callable[[], object], token: CancelToken
) -> tuple[CommandResult, list[int]]:
    """Run ``command`` and call ``stop`` once it has printed that many process ids."""
    sent: list[str] = []

    def on_output(text: str) -> None:
        sent.append(text)
        if "".join(sent).count("\n") >= lines and token.reason is None:
            assert all(map(is_alive, map(int, "".join(sent).split())))
            stop()

    with anyio.fail_after(30):
        result = await run_command(command, on_output=on_output, token=token)
    return result, [int(line) for line in result.output.split()]


async def test_output_keeps_the_order_of_stdout_and_stderr(tmp_path: Path) -> None:
    result = await run(shell("echo a; echo b >&2; echo c; pwd; exit 3", tmp_path))
    assert result.output == f"a\nb\nc\n{tmp_path}\n"
    assert (result.exit_code, result.timed_out, result.cancelled) == (3, False, False)
    assert (result.omitted_bytes, result.total_lines) == (0, 4)


async def test_stdin_is_empty_and_the_environment_is_the_one_given() -> None:
    result = await run(shell("cat; env"))
    names = {line.partition("=")[0] for line in result.output.splitlines()}
    assert names <= {"PATH", "PWD", "OLDPWD", "SHLVL", "_", "CODEX_JUPYTER_EXEC"}


async def test_a_signal_is_told_as_a_negative_exit_code() -> None:
    assert (await run(shell("kill -9 $$"))).exit_code == -9


@pytest.mark.parametrize("script", [THREE_SLEEPS + "wait", DAEMON * 2 + "sleep 300"])
async def test_after_a_cancel_every_process_is_gone(script: str) -> None:
    token = CancelToken()
    result, pids = await run_until(shell(script), 2, lambda: token.cancel("stop"), token)
    assert (result.cancelled, result.exit_code, result.timed_out) == (True, None, False)
    assert len(pids) >= 2
    assert not any(map(is_alive, pids))


async def test_a_token_cancelled_in_another_thread_stops_the_command() -> None:
    token = CancelToken()

    def stop() -> None:
        thread = threading.Thread(target=token.cancel, args=["stop"])
        thread.start()
        thread.join()

    result, pids = await run_until(shell(THREE_SLEEPS + "wait"), 3, stop, token)
    assert result.cancelled
    assert not any(map(is_alive, pids))


async def test_a_cancelled_token_starts_nothing(tmp_path: Path) -> None:
    token = CancelToken()
    token.cancel("stop")
    # An attempt to start would end with 127.
    result = await run(Command(("no-such-program",), tmp_path, 5.0, {}), token)
    assert (result.cancelled, result.exit_code, result.output) == (True, None, "")


async def test_native_cancellation_ends_the_processes_and_goes_on() -> None:
    token, sent = CancelToken(), list[str]()
    with anyio.fail_after(30), anyio.CancelScope() as scope:

        def on_output(text: str) -> None:
            sent.append(text)
            if "".join(sent).count("\n") == 4:
                scope.cancel()

        await run_command(shell(THREE_SLEEPS + DAEMON + "wait"), on_output=on_output, token=token)
        raise AssertionError("run_command swallowed the cancellation")
    assert scope.cancelled_caught
    pids = [int(line) for line in "".join(sent).split()]
    assert len(pids) == 4
    assert not any(map(is_alive, pids))


async def test_after_a_time_out_every_process_is_gone_and_the_output_is_kept() -> None:
    result = await run(shell(THREE_SLEEPS + DAEMON + "wait; sleep 300", timeout=0.3))
    assert (result.exit_code, result.timed_out, result.cancelled) == (124, True, False)
    pids = [int(line) for line in result.output.split()]
    assert len(pids) == 4
    assert not any(map(is_alive, pids))


async def test_after_a_normal_exit_nothing_runs_on_in_the_background() -> None:
    result = await run(shell(THREE_SLEEPS + DAEMON + "exit 0"))
    assert result.exit_code == 0
    pids = [int(line) for line in result.output.split()]
    assert len(pids) == 4
    assert not any(map(is_alive, pids))


async def test_a_grandchild_that_holds_the_pipe_neither_hangs_the_command_nor_loses_text() -> None:
    result = await run(shell("echo before; (sleep 300; echo never) & sleep 300 & echo after"))
    assert result.exit_code == 0
    assert result.output == "before\nafter\n"


async def test_a_background_writer_may_finish_after_the_exit() -> None:
    # It waits for the shell's end, and then writes more than one pipe holds.
    writer = "while kill -0 $$ 2>/dev/null; do :; done; head -c 200000 /dev/zero | tr '\\0' x"
    result = await run(shell(f"({writer}) & echo ready"))
    assert result.output == "ready\n" + "x" * 200_000


async def test_what_a_program_says_when_it_is_stopped_is_kept() -> None:
    token = CancelToken()
    script = "trap 'echo 0; exit' TERM; echo $$; while :; do :; done"
    result, words = await run_until(shell(script), 1, lambda: token.cancel("stop"), token)
    assert words[-1] == 0
    assert result.output.endswith("\n0\n")


async def test_a_command_may_close_its_output_and_run_on(tmp_path: Path) -> None:
    result = await run(shell("echo said; exec >&- 2>&-; touch ran; exit 4", tmp_path))
    assert (result.exit_code, result.output) == (4, "said\n")
    assert (tmp_path / "ran").exists()


async def test_a_flood_of_output_stays_bounded() -> None:
    sent: list[str] = []
    script = "echo start; head -c 30000000 /dev/zero | tr '\\0' x; echo; echo end"
    with anyio.fail_after(30):
        result = await run_command(shell(script), on_output=sent.append, token=CancelToken())
    assert result.exit_code == 0
    assert result.omitted_bytes == 30_000_011 - KEEP_BYTES
    assert result.output.startswith("start\nxxx")
    assert result.output.endswith("xxx\nend\n")
    assert f"\n[{result.omitted_bytes} bytes omitted]\n" in result.output
    assert len(result.output) < KEEP_BYTES + 100
    assert len("".join(sent)) == KEEP_BYTES + len(LIVE_NOTE)
    assert max(map(len, sent)) <= 8192
    assert result.total_lines == 3


async def test_many_small_writes_make_few_pieces() -> None:
    sent: list[str] = []
    script = f"{sys.executable} -c \"import os\nfor n in range(3000): os.write(1, b'.')\""
    with anyio.fail_after(30):
        result = await run_command(shell(script), on_output=sent.append, token=CancelToken())
    assert "".join(sent) == result.output == "." * 3000
    # One at once, and then no more than time and size allow.
    assert len(sent) <= 2 + result.duration * 30 + 1


async def test_a_slow_second_line_is_shown_while_the_command_runs() -> None:
    token, sent = CancelToken(), list[str]()

    def on_output(text: str) -> None:
        sent.append(text)
        if "".join(sent).endswith("b"):
            token.cancel("seen")

    script = "printf a; read x < /dev/null; printf b; sleep 300"
    with anyio.fail_after(30):
        result = await run_command(shell(script), on_output=on_output, token=token)
    assert result.cancelled
    assert result.output == "ab"


async def test_a_character_cut_by_a_read_arrives_whole() -> None:
    result = await run(shell("printf '\\303'; sleep 0.05; printf '\\251\\377\\033]0;t\\007'"))
    assert result.output == "é\ufffd"


async def test_two_hundred_commands_run_at_once() -> None:
    results: list[CommandResult] = []

    async def one(number: int) -> None:
        results.append(await run(shell(f"echo {number}; sleep 0.2")))

    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(one, number)
    assert sorted(int(result.output) for result in results) == list(range(200))
    assert {result.exit_code for result in results} == {0}


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("no-such-program",), 127, "no-such-program: command not found"),
        (("./missing",), 127, "./missing: command not found"),
        (("./plain",), 126, "./plain: cannot be run: Permission denied"),
        (("./garbage",), 126, "./garbage: cannot be run: Exec format error"),
        (("echo", "a\0b"), 126, "echo: an argument cannot be passed to a program"),
        (("a\0\ud800", "x"), 126, "a\\u{0}\\u{d800}: an argument cannot be passed"),
        (("echo", "x" * 3_000_000), 126, "echo: cannot be run: Argument list too long"),
        ((), 127, "no command was given"),
        (("",), 127, "no command was given"),
    ],
)
async def test_a_command_that_cannot_start_says_why(
    tmp_path: Path, argv: tuple[str, ...], code: int, words: str
) -> None:
    (tmp_path / "plain").write_text("echo no")
    (tmp_path / "garbage").write_bytes(b"\x7fnot a program")
    (tmp_path / "garbage").chmod(0o755)
    result = await run(Command(argv, tmp_path, 5.0, {"PATH": "/usr/bin:/bin"}))
    assert result.exit_code == code
    assert result.output.startswith(words)
    assert result.output.endswith("\n")
    result.output.encode()


async def test_a_missing_working_directory_is_named(tmp_path: Path) -> None:
    result = await run(shell("true", tmp_path / "gone"))
    assert result.exit_code == 126
    assert result.output == f"working directory not found: {tmp_path}/gone\n"


def result_of(output: str = "", **changes: object) -> CommandResult:
    facts: dict[str, object] = {
        "exit_code": 0,
        "output": output,
        "duration": 1.26,
        "timed_out": False,
        "cancelled": False,
        "omitted_bytes": 0,
        "total_lines": len(output.splitlines()),
    }
    return CommandResult(**(facts | changes))  # type: ignore[arg-type]


def test_the_model_reads_code_time_and_output() -> None:
    assert result_of("hi\n", exit_code=2).for_model() == (
        "Exit code: 2\nWall time: 1.3 seconds\nOutput:\nhi\n"
    )


def test_the_model_reads_how_many_lines_there_were_when_some_are_missing() -> None:
    text = result_of("0123456789\n" * 20).for_model(max_tokens=4)
    assert text == (
        "Exit code: 0\nWall time: 1.3 seconds\nTotal output lines: 20\nOutput:\n"
        "01234567…51 tokens truncated…3456789\n"
    )
    assert "Total output lines: 9000\n" in result_of(omitted_bytes=5, total_lines=9000).for_model()


def test_the_model_reads_of_a_time_out_and_of_a_cancel() -> None:
    assert result_of("part", exit_code=124, timed_out=True).for_model() == (
        "Exit code: 124\nWall time: 1.3 seconds\nOutput:\n"
        "command timed out after 1260 milliseconds\npart"
    )
    assert result_of("part", exit_code=None, cancelled=True).for_model() == (
        "Wall time: 1.3 seconds\naborted by user"
    )
