"""The line magic `%codex`: what each word does."""

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from codex_jupyter.errors import UsageError
from codex_jupyter.notebook.headless import parse_headless
from codex_jupyter.notebook.local_choice import choose, found_servers
from codex_jupyter.notebook.reviews import review, review_target
from codex_jupyter.notebook.runtime import ANSWERED_BY_THE_PAGE, KernelRuntime
from codex_jupyter.notebook.threads import Thread, thread_at
from codex_jupyter.settings.approval import policy_shape, policy_words

__all__ = ["run_command"]

Json = dict[str, Any]


class Magic(Protocol):
    """What the commands see of the magics."""

    @property
    def runtime(self) -> KernelRuntime: ...
    @property
    def current(self) -> Thread | None: ...
    def conversation(self) -> Thread: ...
    def use(self, thread: Thread | None) -> None: ...
    def use_notebook(self, name: str) -> None: ...
    def talk_to(self, server: str) -> None: ...
    def forget_thread(self) -> None: ...


def run_command(magic: Magic, line: str) -> None:
    """Run one line of `%codex`.

    Raises:
        UsageError: The line is not understood; the text says what is.
    """
    word, _, rest = line.strip().partition(" ")
    command = _COMMANDS.get(word or "status")
    if command is None:
        raise UsageError(
            f"%codex does not know {word!r}. It knows: {', '.join(_COMMANDS)}. "
            "`%codex help` says what they do"
        )
    command(magic, rest.strip())


def _status(magic: Magic, rest: str) -> None:
    """Show the model, the thread, who is asked, and where things are."""
    _no_more(rest, "status")
    runtime = magic.runtime
    served, foreign = runtime.find_core(), not runtime.place.takes_ids
    current = magic.current
    rows = [
        *(_server_rows(runtime, current) if served or foreign else _kernel_rows(runtime)),
        ("thread", repr(current) if current else "none yet; the next %%codex begins one"),
        ("re-runs", runtime.find_cells().describe()),
        ("running", ", ".join(h.turn_id for h in runtime.running_turns) or "nothing"),
    ]
    if not (served or foreign):
        rows += [("warning", warning) for warning in runtime.settings.warnings]
    _say("\n".join(f"{name:>9}  {text}" for name, text in rows))


def _kernel_rows(runtime: KernelRuntime) -> list[tuple[str, str]]:
    settings = runtime.settings
    asks = policy_words(policy_shape(settings.approval_policy))
    return [
        ("model", settings.why_provider),
        ("core", runtime.place.words),
        (
            "approval",
            f"{asks}; commands are not sandboxed",
        ),
        ("headless", str(runtime.headless or settings.headless or "fail (nothing stated)")),
        ("home", str(settings.home)),
    ]


def _server_rows(runtime: KernelRuntime, current: Thread | None) -> list[tuple[str, str]]:
    """Say what the server decides; of its settings the kernel knows what it says of a thread."""
    opened: Json = current.open() if current is not None else {}
    model = (
        f"{opened['model']} of {opened['modelProvider']}"
        if opened
        else "as the server's settings say"
    )
    stated: Any = opened.get("approvalPolicy")
    asks = policy_words(stated) if stated else "as the server's settings say"
    return [
        ("model", model),
        ("core", runtime.place.words),
        ("approval", f"{asks}; commands are {opened.get('sandboxing') or 'not sandboxed'}"),
        ("headless", _headless_words(runtime)),
        ("home", runtime.place.home or "the server's"),
        *(("warning", n["text"]) for n in opened.get("notices") or () if n["level"] == "warning"),
    ]


def _headless_words(runtime: KernelRuntime) -> str:
    if runtime.place.is_served:
        return "asked in the page, else `CodexExtension.headless` of the server decides"
    return str(runtime.headless_policy() or "fail (nothing stated)")


def _new(magic: Magic, rest: str) -> None:
    """Let the next %%codex begin a new thread."""
    _no_more(rest, "new")
    magic.use(None)
    _say("The next %%codex begins a new thread.")


def _resume(magic: Magic, rest: str) -> None:
    """Go on with a stored thread: %codex resume ID."""
    if not rest:
        raise UsageError("%codex resume needs the id of a thread; `%codex threads` lists them")
    resumed = thread_at(magic.runtime, resume=rest)
    opened = resumed.open()
    magic.use(resumed)
    turns = resumed.known_turns()
    preview = " ".join(opened["thread"]["preview"].split())[:80]
    _say(f"Going on with {resumed.id} ({len(turns)} turns): {preview}")


def _threads(magic: Magic, rest: str) -> None:
    """List the stored threads, newest first."""
    _no_more(rest, "threads")
    asked = {"limit": 20, "sortKey": "updated_at", "modelProviders": []}
    page = magic.runtime.call(lambda client: client.call("thread/list", asked))
    if not page["data"]:
        _say("No thread is stored yet.")
        return
    lines = [
        f"{shown['id']}  {_when(shown['updatedAt'])}  {' '.join(shown['preview'].split())[:60]}"
        for shown in page["data"]
    ]
    more = ["…"] if page.get("nextCursor") else []
    _say("\n".join([*lines, *more]))


def _interrupt(magic: Magic, rest: str) -> None:
    """Stop every turn of this kernel that runs in the background."""
    _no_more(rest, "interrupt")
    running = magic.runtime.running_turns
    for handle in running:
        handle.interrupt()
    _say(f"Stopping {len(running)} turn(s)." if running else "No turn is running.")


def _login(magic: Magic, rest: str) -> None:
    """Say how to connect a model."""
    if rest not in ("", "help"):
        raise UsageError("%codex login takes no argument but `help`")
    home = magic.runtime.settings.home
    _say(
        "Three ways to connect a model:\n"
        "  1. OpenAI: set OPENAI_API_KEY in the environment of Jupyter, then restart it.\n"
        "  2. A local server (Ollama, LM Studio, vLLM, llama.cpp): start it, then `%codex use`.\n"
        f"  3. Anything that speaks the Responses API: describe it in {home / 'config.toml'}\n"
        "     as Codex does: model, model_provider and [model_providers.NAME].\n"
        "Keys are read from the environment and are never stored."
    )


def _headless(magic: Magic, rest: str) -> None:
    """Say what is answered where nobody can be asked: deny, fail or allow RULES."""
    stated = parse_headless(rest) if rest else None
    if magic.runtime.find_core():
        # A notebook that states its policy for CI must also run in JupyterLab.
        _say(f"Not used here: {ANSWERED_BY_THE_PAGE}.")
        return
    if stated is None:
        _say(str(magic.runtime.headless or "fail (nothing stated)"))
        return
    magic.runtime.headless = stated
    _say(f"Where nobody can be asked: {magic.runtime.headless}.")


def _use(magic: Magic, rest: str) -> None:
    """Choose a model server on this machine: %codex use [PROVIDER [MODEL] | auto]."""
    runtime = magic.runtime
    if not runtime.place.takes_ids:
        raise UsageError(
            "the server chooses its models itself: say `%%codex --model NAME`, or `%codex server "
            "off` to talk to this kernel's own core"
        )
    if not rest:
        found = runtime.call_plain(lambda: found_servers(runtime.settings))
        lines = [f"  %codex use {server}" for server in found] or [
            "  none. Start Ollama, LM Studio, vLLM or llama.cpp, then say `%codex use` again."
        ]
        _say("\n".join(["Model servers found on this machine:", *lines]))
        return
    if runtime.find_core():
        when = "Once the Jupyter server was restarted, because it reads this when it starts"
        _say(runtime.call_plain(lambda: choose(runtime.settings, rest.split(), when)))
        return
    said = runtime.call_plain(lambda: choose(runtime.settings, rest.split()))
    runtime.restart()
    magic.forget_thread()
    _say(said)


def _notebook(magic: Magic, rest: str) -> None:
    """Name this notebook, so that running it again asks no model: %codex notebook NAME."""
    if not rest:
        _say(magic.runtime.find_cells().describe())
        return
    magic.use_notebook(rest)
    _say(f"Cells of {rest!r} are re-runnable: run again they show their answers.")


def _review(magic: Magic, rest: str) -> None:
    """Have changes reviewed: %codex review [--base BRANCH | --commit SHA | INSTRUCTIONS]."""
    target = review_target(rest)
    review(
        target.get("instructions"),
        base=target.get("base"),
        commit=target.get("commit"),
        thread=magic.conversation(),
    )


def _server(magic: Magic, rest: str) -> None:
    """Talk to a program instead of the own core: %codex server COMMAND | off."""
    if rest:
        magic.talk_to("" if rest == "off" else rest)
    place = magic.runtime.place
    own = "this kernel's own core" if place.takes_ids else place.words
    _say(f"%%codex talks to {own}.")


def _replay(magic: Magic, rest: str) -> None:
    """Say whether code of old answers runs again in a new kernel: %codex replay on|off."""
    if rest not in ("on", "off"):
        raise UsageError("%codex replay takes `on` or `off`")
    magic.runtime.cells.replay = rest == "on"
    _say(magic.runtime.cells.describe())


def _help(magic: Magic, rest: str) -> None:
    """List what %codex understands."""
    del magic, rest
    rows = [(name, inspect.getdoc(command) or "") for name, command in _COMMANDS.items()]
    _say("\n".join(f"%codex {name:<10} {text}" for name, text in rows))


_COMMANDS: Final[dict[str, Callable[[Magic, str], None]]] = {
    "status": _status,
    "new": _new,
    "resume": _resume,
    "threads": _threads,
    "notebook": _notebook,
    "replay": _replay,
    "review": _review,
    "server": _server,
    "interrupt": _interrupt,
    "login": _login,
    "headless": _headless,
    "use": _use,
    "help": _help,
}


def _no_more(rest: str, word: str) -> None:
    if rest:
        raise UsageError(f"%codex {word} takes no argument, found {rest!r}")


def _when(seconds: int) -> str:
    local = datetime.fromtimestamp(seconds, UTC).astimezone()
    return local.strftime("%Y-%m-%d %H:%M")


def _say(text: str) -> None:
    print(text)  # noqa: T201 - this is what the command is for
