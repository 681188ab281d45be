"""Keys that are kept and forgotten over the protocol, and never told."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from codex_jupyter.model import keys
from codex_jupyter.server.rights import kernel_rights
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Talk, connect
from tests.fake_model import say, status

pytestmark = pytest.mark.anyio

KEY = "sk-kept-0123456789"

BACKEND = """
import json, keyring.backend, pathlib
FILE = pathlib.Path(__file__).with_name("ring.json")
class Backend(keyring.backend.KeyringBackend):
    priority = 9
    def _all(self): return json.loads(FILE.read_text()) if FILE.exists() else {}
    def get_password(self, service, username): return self._all().get(username)
    def set_password(self, service, username, password):
        FILE.write_text(json.dumps({**self._all(), username: password}))
    def delete_password(self, service, username):
        FILE.write_text(json.dumps({k: v for k, v in self._all().items() if k != username}))
class Refusing(Backend):
    def set_password(self, service, username, password): raise RuntimeError(password)
class Forgetful(Backend):
    def set_password(self, service, username, password): pass
"""


@pytest.fixture(params=["none", "Backend", "Refusing", "Forgetful"])
def keyring(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path | None]:
    """Let the system have a keyring; yields the file in which it keeps keys, if it does."""
    pytest.importorskip("keyring", reason="the extra `keyring` is not installed")
    from keyring import core

    folder = tmp_path / "ring"
    folder.mkdir()
    (folder / "kept_keyring.py").write_text(BACKEND)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv(
        "PYTHON_KEYRING_BACKEND",
        "keyring.backends.fail.Keyring"
        if request.param == "none"
        else f"kept_keyring.{request.param}",
    )
    core.init_backend()
    yield folder / "ring.json" if request.param == "Backend" else None
    import sys

    sys.modules.pop("kept_keyring", None)


async def told(talk: Talk, mode: str | None) -> None:
    params = await talk.told("account/updated", authMode=mode)
    assert params == {"authMode": mode, "planType": None}


async def test_a_key_is_kept_used_and_forgotten(
    lab: Lab, keyring: Path | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    lab.configure(env_key='"ABSENT_KEY"')
    lab.fake.add(say("ok"), status(401, f"bad key {KEY}"))
    file = lab.home / "keys.json"
    async with (
        lab.serving() as server,
        connect(server) as talk,
        connect(server) as other,
    ):
        read = await talk.ask("account/read", {})
        assert read == {"account": None, "requiresOpenaiAuth": True}
        thread_id = await talk.start_thread(lab.workspace)
        assert "ABSENT_KEY" in (await talk.turn(thread_id))["error"]["message"]
        login = await talk.ask("account/login/start", {"type": "apiKey", "apiKey": f" {KEY}\n"})
        assert login == {"type": "apiKey"}
        for hearer in (talk, other):
            completed = await hearer.told("account/login/completed")
            assert completed == {"loginId": None, "success": True, "error": None}
            await told(hearer, "apikey")
        assert (await talk.ask("account/read", {}))["account"] == {"type": "apiKey"}
        kept = file if keyring is None else keyring
        assert json.loads(kept.read_text()) == {"fake": KEY}
        assert file.exists() == (keyring is None)
        if keyring is None:
            assert file.stat().st_mode & 0o777 == 0o600
        assert (await talk.turn(thread_id))["status"] == "completed"
        assert lab.fake.headers[-1]["authorization"] == f"Bearer {KEY}"
        assert (await talk.turn(thread_id))["status"] == "failed"
        assert await talk.ask("account/logout", None) == {}
        await told(other, None)
        assert (await talk.ask("account/read", {}))["account"] is None
        assert not file.exists()
        assert "ABSENT_KEY" in (await talk.turn(thread_id))["error"]["message"]
        heard = str(talk.heard) + str(other.heard)
    assert KEY not in heard
    assert KEY not in caplog.text
    files = [path for path in lab.home.rglob("*") if path.is_file()]
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


async def test_a_new_key_takes_the_place_of_the_old_one(lab: Lab, keyring: Path | None) -> None:
    del keyring
    lab.configure(env_key='"ABSENT_KEY"')
    lab.fake.add(say("one"), say("two"))
    async with lab.serving() as server, connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace)
        for key in ("sk-first-key", "sk-second-key"):
            await talk.ask("account/login/start", {"type": "apiKey", "apiKey": key})
            assert (await talk.turn(thread_id))["status"] == "completed"
    used = [headers["authorization"] for headers in lab.fake.headers]
    assert used == ["Bearer sk-first-key", "Bearer sk-second-key"]


async def test_a_key_in_a_variable_counts_and_stays(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("MY_KEY", "sk-from-the-variable")
    lab.configure(env_key='"MY_KEY"')
    async with lab.serving() as server, connect(server) as talk:
        read = await talk.ask("account/read", {"refreshToken": True})
        assert read == {"account": {"type": "apiKey"}, "requiresOpenaiAuth": True}
        await talk.ask("account/logout", None)
        await told(talk, "apikey")
        assert "sk-from-the-variable" not in str(talk.heard)


async def test_a_provider_without_a_key_needs_none(lab: Lab, talk: Talk) -> None:
    read = await talk.ask("account/read", {})
    assert read == {"account": None, "requiresOpenaiAuth": False}
    cancel = await talk.ask("account/login/cancel", {"loginId": "x"})
    assert cancel == {"status": "notFound"}


@pytest.mark.parametrize("way", ["chatgpt", "chatgptAuthTokens", "chatgptDeviceCode"])
async def test_other_ways_to_sign_in_are_not_offered(lab: Lab, talk: Talk, way: str) -> None:
    tokens = {"accessToken": KEY, "chatgptAccountId": "b"}
    refused = await talk.refused("account/login/start", {"type": way, **tokens})
    assert refused.code == -32600
    assert f"`{way}` is not offered by codex_jupyter" in refused.message
    async with lab.serving() as server, connect(server) as plain:
        gated = await plain.refused("account/login/start", {"type": "chatgptAuthTokens", **tokens})
    text = "account/login/start.chatgptAuthTokens requires experimentalApi capability"
    assert gated.message == text


@pytest.mark.parametrize("key", ["", " ", "a\nb", "ключ", "x" * 5000, 5, None, ["sk-in-a-list"]])
async def test_what_is_no_key_is_refused_and_not_repeated(
    lab: Lab, talk: Talk, key: object
) -> None:
    refused = await talk.refused("account/login/start", {"type": "apiKey", "apiKey": key})
    assert refused.code == -32600
    assert not (lab.home / "keys.json").exists()
    if isinstance(key, str) and key.strip():
        assert key not in refused.message
    assert "sk-in-a-list" not in refused.message


async def test_a_kernel_keeps_and_forgets_none(lab: Lab) -> None:
    async with lab.serving() as server, connect(server, rights=kernel_rights("k")) as talk:
        login = {"type": "apiKey", "apiKey": KEY}
        for method, params in (("account/login/start", login), ("account/logout", None)):
            assert "may not" in (await talk.refused(method, params)).message
    assert not (lab.home / "keys.json").exists()


async def test_a_damaged_file_has_no_keys_and_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    for damaged in (b"{", b"[]", b"\xff", b'{"a": 5}'):
        file.write_bytes(damaged)
        assert keys._read_file(file) == {}
    keys._change_file(file, {"a": "k"})
    assert keys._read_file(file) == {"a": "k"}
