"""Tiny configs of transformers' architectures: of every config class, what it has among small sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

TOKENS = 96  # those from 90 on stand for images and the like
DEPTH, TOWER_DEPTH = 4, 2  # of the text's layers; of an encoder's, vision's or audio's beside them

_DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "num_decoder_layers", "depth")
_SIZES: Mapping[str, int] = {
    "vocab_size": TOKENS,
    "hidden_size n_embd d_model embed_dim dim embedding_size word_embed_proj_dim out_hidden_size output_dim": 32,
    "projection_dim text_hidden_size vision_hidden_size mm_hidden_size": 32,
    "intermediate_size n_inner ffn_dim ffn_hidden_size encoder_ffn_dim decoder_ffn_dim d_ff mlp_dim hidden_dim": 48,
    "projector_hidden_size intermediate_size_mlp": 48,
    "moe_intermediate_size shared_expert_intermediate_size moe_shared_expert_intermediate_size": 16,
    "expert_ffn_hidden_size image_size mamba_d_head mamba_head_dim num_mel_bins": 16,
    "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads": 4,
    "num_self_attention_heads attention_heads n_routed_experts num_experts num_local_experts moe_num_experts": 4,
    "state_size qk_rope_head_dim qk_nope_head_dim mamba_d_state mamba_n_heads mamba_num_heads ssm_state_size": 4,
    "linear_num_value_heads": 4,
    " ".join(_DEPTHS): DEPTH,
    "encoder_layers num_encoder_layers": TOWER_DEPTH,
    "num_key_value_heads num_experts_per_tok num_experts_per_token moe_topk moe_k top_k_experts": 2,
    "linear_num_key_heads mamba_d_conv temporal_patch_size": 2,
    "n_shared_experts n_group topk_group first_k_dense_replace spatial_merge_size bos_token_id": 1,
    "decoder_start_token_id mamba_n_groups n_groups": 1,
    "head_dim d_kv q_lora_rank kv_lora_rank v_head_dim patch_size sliding_window linear_key_head_dim": 8,
    "linear_value_head_dim chunk_size mamba_chunk_size attention_chunk_size": 8,
    "max_position_embeddings n_positions n_ctx max_seq_len max_target_positions max_source_positions": 64,
    "image_token_id image_token_index": 90,
    "video_token_id": 91,
    "vision_start_token_id boi_token_index": 92,
    "vision_end_token_id eoi_token_index": 93,
    "audio_token_id audio_token_index": 94,
    "pad_token_id": 0,
    "eos_token_id": 2,
    "num_channels": 3,
}
TINY: dict[str, int] = {key: size for keys, size in _SIZES.items() for key in keys.split()}
_TOWERS = ("vision_config", "audio_config", "encoder_config", "encoder")
Settings = Mapping[str, Any]


def tiny_config(model_type: str, exceptions: Settings) -> PreTrainedConfig:
    """Return a small config; exceptions are settings, nested under the keys of sub-configs; None leaves one out."""
    kind = CONFIG_MAPPING[model_type]
    return kind(**_settings(kind, exceptions))


def _settings(kind: type[PreTrainedConfig], exceptions: Settings, *, tower: bool = False) -> dict[str, Any]:
    default = kind()
    known = {*getattr(kind, "__dataclass_fields__", {}), *default.to_dict()} - kind.attribute_map.keys()
    found: dict[str, Any] = {key: value for key, value in TINY.items() if key in known}
    if tower:
        found |= {key: TOWER_DEPTH for key in found if key in _DEPTHS}
    if "kv_lora_rank" in known:  # latent attention: all heads have keys, and head_dim is another's
        found |= {"num_key_value_heads": 4}
        found.pop("head_dim", None)
    for key in kind.sub_configs:
        own = getattr(default, key, None)
        below = kind.sub_configs[key] if own is None and key in exceptions else type(own)
        if issubclass(below, PreTrainedConfig):
            found[key] = _settings(below, exceptions.get(key, {}), tower=key in _TOWERS)
            found[key]["model_type"] = below.model_type
    found |= {key: value for key, value in exceptions.items() if key not in kind.sub_configs}
    return {key: value for key, value in found.items() if value is not None or key not in TINY}
