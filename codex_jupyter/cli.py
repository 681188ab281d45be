"""The command `codex-jupyter`."""

import argparse
import gc
import logging
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from codex_jupyter._version import __version__
from codex_jupyter.errors import CodexError, ConfigError, UsageError

__all__ = ["main"]

_GARBAGE_THRESHOLDS: Final = (20_000, 20, 20)
"""Objects made between two looks at the youngest, and how many of those until the older ones."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 failed, 2 bad usage."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        match arguments.command:
            case "app-server" if arguments.generate is not None:
                return _generate(arguments)
            case "app-server":
                return _app_server(arguments)
            case "acp":
                return _acp(arguments.config)
            case "execute":
                return _execute(arguments)
            case _:
                _parser().print_help()
                return 2
    except ConfigError as error:
        print(f"codex-jupyter: failed to load configuration: {error}", file=sys.stderr)
        return 2
    except CodexError as error:
        print(f"codex-jupyter: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="codex-jupyter", description="An agent for notebooks, outside of one."
    )
    parser.add_argument("--version", action="version", version=f"codex-jupyter {__version__}")
    parser.add_argument(
        "-c",
        "--config",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set a key of config.toml for this run, e.g. -c model=gpt-5.5",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("acp", help="be an agent of the Agent Client Protocol, e.g. for an editor")
    _app_server_options(
        commands.add_parser("app-server", help="speak app-server v2, on pipes or a WebSocket")
    )
    execute = commands.add_parser("execute", help="run a notebook without a browser")
    execute.add_argument("notebook", type=Path)
    execute.add_argument("--out", type=Path, default=None, help="folder for the results")
    execute.add_argument("--html", action="store_true", help="also write a page to read")
    execute.add_argument("--timeout", type=float, default=600.0, help="seconds per cell")
    execute.add_argument("--kernel", default=None, help="kernel name; default: the notebook's")
    return parser


def _app_server_options(server: argparse.ArgumentParser) -> None:
    server.add_argument(
        "--listen",
        default="stdio://",
        metavar="URL",
        help="stdio:// (default), or ws://127.0.0.1:PORT, where port 0 takes a free one",
    )
    server.add_argument(
        "--stdio", action="store_const", const="stdio://", dest="listen", help="the default"
    )
    server.add_argument(
        "--ws-auth",
        choices=["capability-token"],
        default="capability-token",
        help="how a WebSocket shows that it may connect; there is no other way",
    )
    token = server.add_mutually_exclusive_group()
    token.add_argument(
        "--ws-token-file", type=Path, metavar="FILE", help="holds the token; default: one is made"
    )
    token.add_argument("--ws-token-sha256", metavar="HEX", help="SHA-256 of the token")
    generators = server.add_subparsers(dest="generate", metavar="COMMAND")
    for name, what in (("json-schema", "JSON Schema"), ("ts", "TypeScript")):
        generator = generators.add_parser(f"generate-{name}", help=f"write the protocol as {what}")
        generator.add_argument("--out", type=Path, required=True, metavar="DIR")
        generator.add_argument(
            "--experimental", action="store_true", help="keep what needs experimentalApi"
        )


def _app_server(arguments: argparse.Namespace) -> int:
    import anyio  # noqa: PLC0415 - the other commands need no loop

    from codex_jupyter.settings import Settings  # noqa: PLC0415

    if arguments.listen != "stdio://":
        from codex_jupyter.server import ws_app  # noqa: PLC0415 - tornado

        address = ws_app.ListenAddress.parse(arguments.listen)
        source = ws_app.TokenSource(arguments.ws_token_file, arguments.ws_token_sha256)
        settings = Settings.load(overrides=arguments.config)
        _collect_seldom()
        anyio.run(ws_app.serve_ws, settings, address, source, _tell)
        return 0
    if arguments.ws_token_file or arguments.ws_token_sha256:
        raise ConfigError("--ws-token-file, --ws-token-sha256", "they need --listen ws://…")
    from codex_jupyter.server.stdio_app import claim_stdio, serve_stdio  # noqa: PLC0415

    settings = Settings.load(overrides=arguments.config)
    _collect_seldom()
    anyio.run(serve_stdio, settings, *claim_stdio())
    return 0


def _acp(overrides: Sequence[str]) -> int:
    if find_spec("acp") is None:
        raise UsageError(
            "`codex-jupyter acp` needs the package agent-client-protocol. To install it: "
            "pip install 'codex-jupyter[acp]'"
        )
    import anyio  # noqa: PLC0415 - the other commands need no loop

    from codex_jupyter.acp.stdio import serve_acp  # noqa: PLC0415 - an extra
    from codex_jupyter.settings import Settings  # noqa: PLC0415
    from codex_jupyter.transports.stdio import can_wait  # noqa: PLC0415

    if not (can_wait(0) and can_wait(1)):
        raise UsageError(
            "`codex-jupyter acp` talks to the program that starts it, over pipes: let an editor "
            "start it. Its standard input or output is a file"
        )
    settings = Settings.load(overrides=overrides)
    # Nothing but the protocol may reach the client: what others print goes to standard error.
    protocol_out = os.dup(1)
    os.dup2(2, 1)
    _collect_seldom()
    anyio.run(serve_acp, settings, protocol_out)
    return 0


def _collect_seldom() -> None:
    """Look for garbage cycles less often than Python does by itself.

    A turn makes many small objects and hardly a cycle, so a third of its time went into looking
    for some. Only where the process is ours: in kernels and Jupyter servers others decide.
    """
    gc.set_threshold(*_GARBAGE_THRESHOLDS)


def _generate(arguments: argparse.Namespace) -> int:
    from codex_jupyter.protocol import schema_files  # noqa: PLC0415 - heavy

    make = (
        schema_files.typescript_files
        if arguments.generate == "generate-ts"
        else schema_files.json_schema_files
    )
    try:
        for name, text in make(experimental=arguments.experimental).items():
            path: Path = arguments.out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CodexError(f"--out {arguments.out}: it cannot be written: {error.strerror}") from None
    return 0


def _tell(line: str) -> None:
    print(f"codex-jupyter: {line}", file=sys.stderr, flush=True)


def _execute(arguments: argparse.Namespace) -> int:
    from codex_jupyter.notebook.execute import execute_notebook  # noqa: PLC0415 - heavy

    return execute_notebook(
        arguments.notebook,
        out=arguments.out,
        html=arguments.html,
        timeout=arguments.timeout,
        kernel=arguments.kernel,
    )


if __name__ == "__main__":
    sys.exit(main())
