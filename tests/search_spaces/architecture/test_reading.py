"""What transformers answers about a checkpoint's architecture, for models that names alone would tell wrongly."""

import pytest
import torch
import transformers

from search_spaces.architecture.architecture import Architecture
from search_spaces.architecture.reading import read_architecture
from search_spaces.architecture.vocabulary import vocabulary_axes

SMALL = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
VISION = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "image_size": 16, "patch_size": 8}


def asked(config: transformers.PreTrainedConfig, kind: str) -> tuple[Architecture, dict, tuple[str, ...]]:
    with torch.device("meta"):
        module = getattr(transformers, kind)(config)
    said = {**config.to_dict(), "model_type": config.model_type, "architectures": [kind]}
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    return read_architecture(said, shapes), said, tuple(shapes)


def gemma3() -> transformers.Gemma3Config:
    text = transformers.Gemma3TextConfig(num_hidden_layers=3, **SMALL)
    vision = transformers.SiglipVisionConfig(num_hidden_layers=2, **VISION)
    return transformers.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)


def test_a_vision_language_model_has_two_stacks_with_depths_of_their_own() -> None:
    found, _, _ = asked(gemma3(), "Gemma3ForConditionalGeneration")
    assert found.depths == {"text": 3, "vision": 2}
    assert found.main is not None
    assert (found.main.level, found.main.depth_keys) == (("text_config",), ("num_hidden_layers",))
    layer = "model.language_model.layers.1.self_attn.q_proj.weight"
    assert (found.locate(layer).stack, found.locate(layer).layer, found.locate(layer).module) == (
        "text",
        1,
        "attention",
    )
    tower = found.locate("model.vision_tower.encoder.layers.1.mlp.fc1.weight")
    assert (tower.stack, tower.layer, tower.module) == ("vision", 1, "mlp")
    assert found.locate("model.multi_modal_projector.mm_input_projection_weight").stack == ""


def test_an_encoder_decoder_has_two_stacks_and_each_its_own_key_for_its_depth() -> None:
    config = transformers.BartConfig(
        vocab_size=99, d_model=32, encoder_layers=3, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=64,
    )  # fmt: skip
    found, said, names = asked(config, "BartForConditionalGeneration")
    assert [(s.name, s.depth, s.depth_keys) for s in found.stacks] == [
        ("decoder", 2, ("decoder_layers",)),
        ("encoder", 3, ("encoder_layers",)),
    ]
    assert found.embedding == "model.shared.weight"
    axes = vocabulary_axes(said, names, ())
    assert axes is not None
    assert axes["final_logits_bias"] == 1
    assert axes["model.shared.weight"] == 0
    assert "model.decoder.embed_positions.weight" not in axes


def test_the_final_norm_of_lfm2_lies_after_its_layers_whatever_its_name_says() -> None:
    config = transformers.Lfm2Config(num_hidden_layers=2, layer_types=["conv", "full_attention"], **SMALL)
    found, _, _ = asked(config, "Lfm2ForCausalLM")
    assert found.locate("model.embedding_norm.weight").side == "after"
    assert found.locate("model.embed_tokens.weight").side == "before"


@pytest.mark.parametrize("kind", ["BertForSequenceClassification", "BertModel"])
def test_what_has_no_head_over_the_vocabulary_has_none(kind: str) -> None:
    config = transformers.BertConfig(
        vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, num_labels=2
    )
    found, said, names = asked(config, kind)
    assert (found.has_head, found.head) == (False, None)
    assert found.embedding is not None
    assert found.embedding.endswith("word_embeddings.weight")
    assert list(vocabulary_axes(said, names, ()) or ()) == [found.embedding]


def test_tensors_that_the_module_does_not_have_are_unused_and_in_no_layer() -> None:
    config = transformers.LlamaConfig(num_hidden_layers=2, **SMALL)
    _, said, names = asked(config, "LlamaForCausalLM")
    more = ("model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.2.eh_proj.weight")
    found = read_architecture(said, dict.fromkeys((*names, *more), (2, 2)))
    assert found.unused == set(more)
    assert found.depths == {"text": 2}
    assert found.locate(more[1]).layer is None


def test_an_unknown_model_type_is_guessed_at_and_the_answer_says_so() -> None:
    shapes = {"embed.weight": (9, 4), "layers.0.attn.weight": (4, 4), "layers.1.attn.weight": (4, 4), "out": (9, 4)}
    found = read_architecture({"model_type": "no_such_model"}, shapes)
    assert "no_such_model" in found.guessed
    assert (found.depth, found.embedding, found.head) == (2, "embed.weight", "out")
