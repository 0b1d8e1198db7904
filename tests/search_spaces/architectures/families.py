"""The architectures that the contract holds for, as tiny models: a class and its config's type on each line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.search_spaces.architectures.models import Family
from tests.search_spaces.architectures.tiny import DEPTH, TOWER_DEPTH, Settings

_MROPE = {"text_config": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}}}
_CONVOLUTIONS = {"conv_dim": [32] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
_PER_LAYER = {"vocab_size_per_layer_input": 96, "hidden_size_per_layer_input": 8, "num_kv_shared_layers": 0}

# What tiny configs of a class or a type need beside the usual sizes.
_SETTINGS: Mapping[str, Settings] = {
    "bamba": {"mamba_d_head": 16, "attn_layer_indices": [1, 3]},
    "falcon_h1": {"mamba_d_ssm": 64},
    "gemma3n_text": {
        **_PER_LAYER,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "laurel_rank": 4,
        "altup_num_inputs": 2,
        "activation_sparsity_pattern": None,
    },
    "gemma4": {"text_config": {**_PER_LAYER, "global_head_dim": 8}, "vision_config": {"position_embedding_size": 16}},
    "gemma4_text": {**_PER_LAYER, "global_head_dim": 8},
    "granitemoehybrid": {
        "shared_intermediate_size": 16,
        "mamba_d_head": 16,
        "layer_types": ["linear_attention", "full_attention"] * 2,
    },
    "lfm2_moe": {"num_dense_layers": 1, "layer_types": ["conv", "full_attention"] * 2},
    "llama4": {
        "vision_config": {"vision_output_dim": 32, "projector_input_dim": 32, "projector_output_dim": 32},
    },
    "mamba2": {"num_heads": 8},
    "mt5": {"num_layers": TOWER_DEPTH},
    "qwen2_vl": _MROPE,
    "qwen2_5_vl": _MROPE,
    "switch_transformers": {"num_layers": TOWER_DEPTH, "num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 2},
    "t5": {"num_layers": TOWER_DEPTH},
    "umt5": {"num_layers": TOWER_DEPTH},
    "T5EncoderModel": {"num_layers": DEPTH},
    "WhisperForAudioClassification": {"encoder_layers": DEPTH},
    "clip_text_model": {"eos_token_id": 85},  # it reads where that token is; 2 stands for the largest number
    "hubert": _CONVOLUTIONS,
    "wav2vec2": _CONVOLUTIONS,
    "wavlm": _CONVOLUTIONS,
}

_DECODERS = """
LlamaForCausalLM llama
MistralForCausalLM mistral
Qwen2ForCausalLM qwen2
Qwen3ForCausalLM qwen3
Gemma2ForCausalLM gemma2
Gemma3ForCausalLM gemma3_text
Gemma3nForCausalLM gemma3n_text
Phi3ForCausalLM phi3
PhiForCausalLM phi
GPT2LMHeadModel gpt2
GPTNeoXForCausalLM gpt_neox
GPTBigCodeForCausalLM gpt_bigcode
FalconForCausalLM falcon
BloomForCausalLM bloom
MptForCausalLM mpt
OPTForCausalLM opt
StableLmForCausalLM stablelm
Starcoder2ForCausalLM starcoder2
Olmo2ForCausalLM olmo2
CohereForCausalLM cohere
Cohere2ForCausalLM cohere2
GlmForCausalLM glm
Glm4ForCausalLM glm4
GraniteForCausalLM granite
SmolLM3ForCausalLM smollm3
Exaone4ForCausalLM exaone4
SeedOssForCausalLM seed_oss
Ernie4_5ForCausalLM ernie4_5
HunYuanDenseV1ForCausalLM hunyuan_v1_dense
MiniCPM3ForCausalLM minicpm3
DiffLlamaForCausalLM diffllama
XGLMForCausalLM xglm
"""
_EXPERTS = """
MixtralForCausalLM mixtral
Qwen2MoeForCausalLM qwen2_moe
Qwen3MoeForCausalLM qwen3_moe
OlmoeForCausalLM olmoe
DeepseekV2ForCausalLM deepseek_v2
DeepseekV3ForCausalLM deepseek_v3
GptOssForCausalLM gpt_oss
Glm4MoeForCausalLM glm4_moe
Ernie4_5_MoeForCausalLM ernie4_5_moe
Llama4ForCausalLM llama4_text
PhimoeForCausalLM phimoe
GraniteMoeForCausalLM granitemoe
HunYuanMoEV1ForCausalLM hunyuan_v1_moe
MiniMaxM2ForCausalLM minimax_m2
Dots1ForCausalLM dots1
"""
_HYBRIDS = """
MambaForCausalLM mamba
Mamba2ForCausalLM mamba2
FalconMambaForCausalLM falcon_mamba
JambaForCausalLM jamba
BambaForCausalLM bamba
FalconH1ForCausalLM falcon_h1
GraniteMoeHybridForCausalLM granitemoehybrid
NemotronHForCausalLM nemotron_h
Qwen3NextForCausalLM qwen3_next
Qwen3_5ForCausalLM qwen3_5_text
Lfm2ForCausalLM lfm2
Lfm2MoeForCausalLM lfm2_moe
MiniMaxForCausalLM minimax
RecurrentGemmaForCausalLM recurrent_gemma
RwkvForCausalLM rwkv
xLSTMForCausalLM xlstm
"""
_SEEING = """
Gemma3ForConditionalGeneration gemma3
Gemma4ForConditionalGeneration gemma4
Mistral3ForConditionalGeneration mistral3
Qwen2VLForConditionalGeneration qwen2_vl
Qwen2_5_VLForConditionalGeneration qwen2_5_vl
Qwen3VLForConditionalGeneration qwen3_vl
Qwen3VLMoeForConditionalGeneration qwen3_vl_moe
Qwen3_5ForConditionalGeneration qwen3_5
LlavaForConditionalGeneration llava
LlavaNextForConditionalGeneration llava_next
LlavaOnevisionForConditionalGeneration llava_onevision
PaliGemmaForConditionalGeneration paligemma
SmolVLMForConditionalGeneration smolvlm
Idefics3ForConditionalGeneration idefics3
InternVLForConditionalGeneration internvl
AyaVisionForConditionalGeneration aya_vision
Llama4ForConditionalGeneration llama4
Lfm2VlForConditionalGeneration lfm2_vl
Blip2ForConditionalGeneration blip-2
AriaForConditionalGeneration aria
"""
_ENCODER_DECODERS = """
T5ForConditionalGeneration t5
MT5ForConditionalGeneration mt5
UMT5ForConditionalGeneration umt5
SwitchTransformersForConditionalGeneration switch_transformers
BartForConditionalGeneration bart
MBartForConditionalGeneration mbart
PegasusForConditionalGeneration pegasus
T5GemmaForConditionalGeneration t5gemma
MarianMTModel marian
M2M100ForConditionalGeneration m2m_100
WhisperForConditionalGeneration whisper
"""
_ENCODERS = """
BertForMaskedLM bert
BertModel bert
BertForSequenceClassification bert
RobertaForMaskedLM roberta
RobertaForTokenClassification roberta
XLMRobertaModel xlm-roberta
DistilBertForQuestionAnswering distilbert
DebertaV2ForMaskedLM deberta-v2
ElectraForMaskedLM electra
AlbertForMaskedLM albert
ModernBertForMaskedLM modernbert
MPNetForMaskedLM mpnet
EsmForMaskedLM esm
T5EncoderModel t5
Qwen3Model qwen3
LlamaForSequenceClassification llama
Qwen2ForSequenceClassification qwen2
Gemma2ForSequenceClassification gemma2
MistralForTokenClassification mistral
"""
_HEARING = """
Qwen2AudioForConditionalGeneration qwen2_audio
VoxtralForConditionalGeneration voxtral
GlmAsrForConditionalGeneration glmasr
"""
_EYES_AND_EARS = """
ViTForImageClassification vit
DeiTForImageClassification deit
Dinov2ForImageClassification dinov2
BeitForImageClassification beit
SiglipVisionModel siglip_vision_model
CLIPTextModelWithProjection clip_text_model
CLIPModel clip
Wav2Vec2ForCTC wav2vec2
HubertForCTC hubert
WavLMForSequenceClassification wavlm
WhisperForAudioClassification whisper
"""

# Those that run with `make test`; the others are slow.
QUICK = frozenset(
    {
        "BambaForCausalLM",
        "BartForConditionalGeneration",
        "BertForSequenceClassification",
        "Gemma3ForConditionalGeneration",
        "GptOssForCausalLM",
        "Lfm2ForCausalLM",
        "LlamaForCausalLM",
        "LlamaForSequenceClassification",
        "LlavaForConditionalGeneration",
        "Qwen2ForCausalLM",
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen3MoeForCausalLM",
        "T5ForConditionalGeneration",
        "ViTForImageClassification",
    }
)

_BOTH = {"decoder": DEPTH, "encoder": TOWER_DEPTH}
_SEES = {"text": DEPTH, "vision": TOWER_DEPTH}
# Stacks that are other than those of their section.
_STACKS: Mapping[str, Mapping[str, int]] = {
    "AlbertForMaskedLM": {},
    "Blip2ForConditionalGeneration": {"text": DEPTH, "qformer": DEPTH, "vision": TOWER_DEPTH},
    "CLIPModel": _SEES,
    "CLIPTextModelWithProjection": {"text": DEPTH},
    "HubertForCTC": {"audio": DEPTH},
    "T5EncoderModel": {"text": DEPTH},
    "Wav2Vec2ForCTC": {"audio": DEPTH},
    "WavLMForSequenceClassification": {"audio": DEPTH},
    "WhisperForAudioClassification": {"encoder": DEPTH},
}
# Why layers of some cannot be stacked: part of what is said.
_NO_SLICES: Mapping[str, str] = {
    "AlbertForMaskedLM": "expected layers in 'base'",  # one that is run again and again
    "DiffLlamaForCausalLM": "lambda_init",
    "EsmForMaskedLM": "esm.contact_head.regression.weight",
    "Gemma3nForCausalLM": "model.embed_tokens_per_layer.weight",
    "Gemma4ForConditionalGeneration": "model.language_model.embed_tokens_per_layer.weight",
    "JambaForCausalLM": "'JambaMambaDecoderLayer' would be 'JambaAttentionDecoderLayer'",
    "MiniCPM3ForCausalLM": "residual_scale",
    "MiniMaxForCausalLM": "num_hidden_layers",
    "RecurrentGemmaForCausalLM": "temporal_block",
    "SwitchTransformersForConditionalGeneration": "is_sparse",
}
# Mamba's layers run a fused kernel with this module's weight: peft adapts the others.
_NOT_ADAPTED = {
    kind: ("out_proj",)
    for kind in (
        "MambaForCausalLM",
        "Mamba2ForCausalLM",
        "FalconMambaForCausalLM",
        "FalconH1ForCausalLM",
        "NemotronHForCausalLM",
    )
}


def _families(lines: str, stacks: Mapping[str, int]) -> Iterator[Family]:
    for line in lines.strip().splitlines():
        kind, model_type = line.split()
        yield Family(
            kind,
            model_type,
            _SETTINGS.get(kind, _SETTINGS.get(model_type, {})),
            _STACKS.get(kind, stacks),
            _NO_SLICES.get(kind, ""),
            _NOT_ADAPTED.get(kind, ()),
        )


FAMILIES = (
    *_families(_DECODERS.rstrip() + _EXPERTS.rstrip() + _HYBRIDS.rstrip() + _ENCODERS, {"text": DEPTH}),
    *_families(_SEEING, _SEES),
    *_families(_HEARING, {"text": DEPTH, "audio": TOWER_DEPTH}),
    *_families(_ENCODER_DECODERS, _BOTH),
    *_families(_EYES_AND_EARS, {"vision": DEPTH}),
)
