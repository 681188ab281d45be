import pytest

from codex_jupyter.model.header_notices import header_notices


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999", "many", ""])
def test_a_header_that_is_no_number_says_nothing(number: str) -> None:
    assert header_notices({"x-codex-primary-used-percent": number}) == []
    limits = {"x-ratelimit-limit-tokens": number, "x-ratelimit-remaining-tokens": number}
    assert header_notices(limits) == []
    (notice,) = header_notices(
        {"x-codex-primary-used-percent": "7", "x-codex-primary-reset-at": number}
    )
    assert notice["rate_limits"]["primary"]["resetsAt"] is None
