from __future__ import annotations

from typing import Any

import pytest

from search_spaces.layers.output_config import LayerSource, per_layer_settings

ORDER = (3, 0, 0, 2)


def reordered(settings: dict[str, Any], order: tuple[int, ...] = ORDER, depth: int = 4) -> dict[str, Any]:
    return per_layer_settings(settings, depth, [LayerSource(settings, layer, depth) for layer in order])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"layer_types": ["a", "b", "c", "d"]}, {"layer_types": ["d", "a", "a", "c"]}),
        ({"no_rope_layers": [1, 1, 1, 0]}, {"no_rope_layers": [0, 1, 1, 1]}),
        ({"mlp_only_layers": [0, 2]}, {"mlp_only_layers": [1, 2, 3]}),
        ({"mlp_only_layers": [0, 1, 2, 3]}, {"mlp_only_layers": [0, 1, 2, 3]}),
        ({"mlp_only_layers": []}, {"mlp_only_layers": []}),
        ({"max_window_layers": 4}, {"max_window_layers": 4}),
        ({"max_window_layers": 28}, {"max_window_layers": 4}),
        ({"first_k_dense_replace": 1}, {"first_k_dense_replace": 2}),
        (
            {"decoder_sparse_step": 2, "mlp_only_layers": [3]},
            {"decoder_sparse_step": 1, "mlp_only_layers": [0, 1, 2, 3]},
        ),
        ({"eos_token_id": [1, 2, 3, 4], "architectures": ["A"] * 4, "rope_section": [1, 2, 3, 4]}, {}),
        ({"hidden_size": 4, "sliding_window": 8}, {}),
    ],
)
def test_settings_follow_their_layers(settings: dict[str, Any], expected: dict[str, Any]) -> None:
    assert reordered(settings) == expected


def test_each_layer_has_its_own_parents_setting() -> None:
    base, other = {"layer_types": ["a", "b"]}, {"layer_types": ["x", "y", "z"]}
    layers = [LayerSource(other, 2, 3), LayerSource(base, 0, 2)]
    assert per_layer_settings(base, 2, layers) == {"layer_types": ["z", "a"]}


def test_a_parent_that_does_not_say_is_taken_to_be_as_the_base() -> None:
    base = {"layer_types": ["a", "b"]}
    assert per_layer_settings(base, 2, [LayerSource({}, 1, 2)]) == {"layer_types": ["b"]}
