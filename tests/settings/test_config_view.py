from pathlib import Path

import pytest

from codex_jupyter.settings import Settings
from codex_jupyter.settings.config_view import HIDDEN, overriding

KEY = "sk-0123456789"


@pytest.mark.parametrize(
    "path",
    [
        ("model_providers", "x", "http_headers"),
        ("model_providers", "x", "http_headers", "Authorization"),
        ("model_providers", "x", "query_params", "key"),
        ("model_providers", "x", "experimental_bearer_token"),
        ("mcp_servers", "s", "env", "DB"),
    ],
    ids=".".join,
)
def test_what_overrides_a_part_of_a_credential_is_named_but_not_shown(
    tmp_path: Path, path: tuple[str, ...]
) -> None:
    settings = Settings.load(
        environ={"CODEX_JUPYTER_HOME": str(tmp_path)},
        overrides=[
            'model_providers.x.base_url="http://127.0.0.1:1/v1"',
            f'model_providers.x.http_headers.Authorization="Bearer {KEY}"',
            f'model_providers.x.query_params.key="{KEY}"',
            f'model_providers.x.experimental_bearer_token="{KEY}"',
            'mcp_servers.s.command="true"',
            f'mcp_servers.s.env.DB="{KEY}"',
        ],
    )
    found = overriding(settings, path)
    assert found is not None
    layer, value = found
    assert layer["name"] == {"type": "sessionFlags"}
    assert value in (HIDDEN, {"Authorization": HIDDEN})
