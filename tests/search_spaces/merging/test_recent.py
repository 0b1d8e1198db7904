from __future__ import annotations

from search_spaces.merging.recent import Recent


def test_what_was_asked_for_least_recently_goes_first() -> None:
    computed: list[str] = []
    recent: Recent[str] = Recent(4, len)

    def get(word: str) -> str:
        return recent.get(word, lambda: computed.append(word) or word)  # type: ignore[func-returns-value]

    for word in ("ab", "cd", "ab", "ef", "ab", "cd"):
        assert get(word) == word
    assert computed == ["ab", "cd", "ef", "cd"]


def test_a_value_larger_than_the_limit_is_not_kept() -> None:
    recent: Recent[str] = Recent(2, len)
    assert [recent.get("key", lambda word=word: word) for word in ("long", "longer")] == ["long", "longer"]  # type: ignore[misc]
    recent.get("short", lambda: "ab")
    recent.get("key", lambda: "long")
    assert recent.get("short", lambda: "computed again") == "ab"
