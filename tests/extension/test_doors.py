"""Who gets in: every route, every origin, every credential."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.extension.conftest import configure
from tests.extension.jupyter import TOKEN, Jupyter, jupyter_server
from tests.fake_model import FakeModelInThread

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
CREDENTIALS = (
    "nothing",
    "cookie",
    "token in the address",
    "token in a header",
    "kernel's token",
    "kernel's token in the address",
    "server's token as a kernel's",
    "kernel's token, cut",
)
USER = {"cookie", "token in the address", "token in a header"}


def knock(server: Jupyter, which: str, headers: list[tuple[str, str]], query: str = "") -> int:
    """Try a handshake and return the status: 101 is in."""
    connection = http.client.HTTPConnection(server.host, timeout=10)
    try:
        connection.putrequest("GET", f"{server.base_url}codex/{which}{query}")
        for name, value in [*HANDSHAKE.items(), *headers]:
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


def credential(server: Jupyter, kind: str, kernel_id: str) -> tuple[list[tuple[str, str]], str]:
    token = server.link(kernel_id)["token"]
    match kind:
        case "cookie":
            return [("Cookie", cookie(server))], ""
        case "token in the address":
            return [], f"?token={TOKEN}"
        case "token in a header":
            return [("Authorization", f"token {TOKEN}")], ""
        case "kernel's token":
            return [("Authorization", f"codex-kernel {token}")], ""
        case "kernel's token in the address":
            return [], f"?token={token}"
        case "server's token as a kernel's":
            return [("Authorization", f"codex-kernel {TOKEN}")], ""
        case "kernel's token, cut":
            return [("Authorization", f"codex-kernel {token[:-1]}")], ""
        case _:
            return [], ""


def cookie(server: Jupyter) -> str:
    connection = http.client.HTTPConnection(server.host, timeout=10)
    connection.request("GET", f"{server.base_url}api/status?token={TOKEN}")
    cookies = connection.getresponse().headers.get_all("Set-Cookie") or []
    connection.close()
    assert cookies, "a token in the address logs in"
    return "; ".join(given.split(";")[0] for given in cookies)


def origins(server: Jupyter) -> dict[str, list[str]]:
    return {
        "none": [],
        "own": [server.origin],
        "own, upper case": [server.origin.upper()],
        "own over TLS": [f"https://{server.host}"],
        "another port": [f"http://127.0.0.1:{server.port + 1}"],
        "another name of this machine": [f"http://localhost:{server.port}"],
        "null": ["null"],
        "evil": ["http://evil.example"],
        "own as a prefix": [f"{server.origin}.evil.example"],
        "own as a user": [f"http://127.0.0.1:{server.port}@evil.example"],
        "user of own": [f"http://evil@{server.host}"],
        "with a path": [f"{server.origin}/"],
        "own and evil": [server.origin, "http://evil.example"],
        "empty": [""],
    }


@pytest.fixture(scope="module")
def kernel_id(server: Jupyter) -> Iterator[str]:
    kernel_id = server.start_kernel()
    yield kernel_id
    server.call("DELETE", f"kernels/{kernel_id}")


def test_only_the_right_credential_from_the_right_place_gets_in(
    server: Jupyter, kernel_id: str
) -> None:
    wrong: list[str] = []
    tried = 0
    for kind, (place, named) in product(CREDENTIALS, origins(server).items()):
        headers, query = credential(server, kind, kernel_id)
        headers += [("Origin", origin) for origin in named]
        expected = {
            "page": kind in USER and place in ("none", "own", "own, upper case"),
            "kernel": kind == "kernel's token" and place == "none",
        }
        for which, may in expected.items():
            status = knock(server, which, headers, query)
            tried += 1
            if status != (101 if may else 403):
                wrong.append(f"{which}: {kind}, origin {place}: {status}")
    assert wrong == []
    assert tried == 2 * 8 * 14


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ([("Sec-Fetch-Site", "same-origin"), ("Origin", "http://evil.example")], 403),
        ([("X-Forwarded-Proto", "https"), ("Origin", "https://{host}")], 101),
        ([("X-Forwarded-Proto", "https"), ("Origin", "http://{host}")], 403),
        ([("X-Forwarded-Proto", "https, http"), ("Origin", "https://{host}")], 101),
        ([("X-Forwarded-Proto", "https"), ("Origin", "https://evil.example")], 403),
        ([("X-Forwarded-Proto", "ftp"), ("Origin", "http://{host}")], 101),
        ([("Sec-WebSocket-Origin", "http://evil.example")], 403),
    ],
)
def test_other_headers_do_not_open_the_door(
    server: Jupyter, more: list[tuple[str, str]], status: int
) -> None:
    headers = [(name, value.replace("{host}", server.host)) for name, value in more]
    auth = ("Authorization", f"token {TOKEN}")
    assert knock(server, "page", [auth, *headers]) == status


def test_a_stated_pattern_lets_other_sites_in_and_must_match_whole(
    tmp_path: Path, model: FakeModelInThread
) -> None:
    configure_authorizer(tmp_path)
    configure(tmp_path, model)
    pattern = r"--ServerApp.allow_origin_pat=https://\w+\.good\.example"
    auth = ("Authorization", f"token {TOKEN}")
    with jupyter_server(tmp_path, pattern) as server:
        for origin, status in {
            "https://a.good.example": 101,
            server.origin: 101,
            "https://a.good.example.evil.example": 403,
            "http://a.good.example": 403,
        }.items():
            assert knock(server, "page", [auth, ("Origin", origin)]) == status, origin
        # the authorizer of this server lets nobody named so use the resource `codex`
        denied = ("X-Deny", "codex:execute")
        assert knock(server, "page", [auth, denied]) == 403
        assert knock(server, "page", [auth, ("X-Deny", "other:execute")]) == 101


def configure_authorizer(folder: Path) -> None:
    (folder / "config").mkdir()
    (folder / "config" / "jupyter_server_config.py").write_text(
        """
from jupyter_server.auth import AllowAllAuthorizer

class Deny(AllowAllAuthorizer):
    def is_authorized(self, handler, user, action, resource):
        return handler.request.headers.get("X-Deny") != f"{resource}:{action}"

c.ServerApp.authorizer_class = Deny
"""
    )


_WALK = """
import json, sys
from jupyter_server.serverapp import ServerApp

app = ServerApp(runtime_dir=sys.argv[1], allow_root=True)
app.initialize(["--ServerApp.jpserver_extensions={'codex_jupyter': True}",
                "--ServerApp.open_browser=False", "--ServerApp.port=0"], new_httpserver=False)
found = {}
rules = [app.web_app.default_router, app.web_app.wildcard_router]
while rules:
    rule = rules.pop()
    rules.extend(getattr(rule, "rules", []))
    target = getattr(rule, "target", None)
    if hasattr(target, "rules"):
        rules.append(target)
    if isinstance(target, type) and target.__module__.startswith("codex_jupyter"):
        methods = {}
        for name in target.SUPPORTED_METHODS:
            method = getattr(target, name.lower())
            chain = []
            while method is not None:
                chain.append(method.__code__.co_qualname.split(".")[0])
                method = getattr(method, "__wrapped__", None)
            methods[name] = chain
        found[rule.matcher.regex.pattern] = methods
print(json.dumps(found))
"""


def test_every_route_of_ours_is_decorated_and_one_is_the_exception(tmp_path: Path) -> None:
    """Walk over all rules of the web application."""
    done = subprocess.run(
        [sys.executable, "-c", _WALK, str(tmp_path)],
        env={**os.environ, "JUPYTER_CONFIG_DIR": str(tmp_path), "JUPYTER_NO_CONFIG": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    refused = ["RequestHandler"]
    for pattern, methods in found.items():
        get = methods.pop("GET")
        # no other method does anything: tornado's own answer is 405
        assert all(chain == refused for name, chain in methods.items() if name != "OPTIONS")
        if pattern == "/codex/kernel$":
            assert get[0] == "allow_unauthenticated"
        else:
            assert get[:2] == ["ws_authenticated", "authorized"], pattern
    assert set(found) == {"/codex/page$", "/codex/kernel$"}
