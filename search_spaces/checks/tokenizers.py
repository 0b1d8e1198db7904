"""Compare the parents' tokenizers: does a token id mean the same text everywhere?"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from search_spaces.checks.tensors import Level, PreflightRow, same_as_base
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.tokenizer_files import SPECIAL_TOKENS, TokenizerFiles, read_tokenizer
from search_spaces.parents.vocabulary import Vocabulary

_TAKES_BASE = "the merge takes the base's"


def compare_tokenizers(
    checkpoints: Mapping[str, Checkpoint], base: str, mapped: Vocabulary | None
) -> list[PreflightRow]:
    """Return the rows on vocabulary, tokenizer rules, special tokens and chat template."""
    files = {name: read_tokenizer(checkpoint.tokenizer_directory) for name, checkpoint in checkpoints.items()}
    special = {name: _special(files[name], checkpoints[name]) for name in files}
    templates = {name: tokenizer.chat_template or "none" for name, tokenizer in files.items()}
    rules = {name: tokenizer.rules for name, tokenizer in files.items() if tokenizer.rules or name == base}
    return [
        _vocabulary(files, base) if mapped is None else _mapped_vocabulary(mapped),
        same_as_base("tokenizer rules", rules, base, otherwise="warning", advice=_TAKES_BASE),
        same_as_base("special tokens", special, base, otherwise="warning", advice=_TAKES_BASE),
        same_as_base("chat template", templates, base, otherwise="warning", advice=_TAKES_BASE),
    ]


def _vocabulary(files: Mapping[str, TokenizerFiles], base: str) -> PreflightRow:
    values = {name: "none" if t.ids is None else f"{len(t.ids):,} tokens" for name, t in files.items()}
    expected = files[base].ids
    if expected is None:
        if all(t.ids is None for t in files.values()):
            return PreflightRow("vocabulary", values)
        return PreflightRow("vocabulary", values, "warning", f"{base!r} has no readable tokenizer to compare with")
    texts = {i: token for token, i in expected.items()}
    errors, warnings = [], []
    for name, tokenizer in files.items():
        if tokenizer.ids is None:
            warnings.append(f"{name!r} has no readable tokenizer; the base's is assumed")
            continue
        clashes = [
            token for token, i in tokenizer.ids.items() if expected.get(token, i) != i or texts.get(i, token) != token
        ]
        added, dropped = tokenizer.ids.keys() - expected.keys(), expected.keys() - tokenizer.ids.keys()
        if clashes:
            token = clashes[0]
            errors.append(
                f"{name!r}: {len(clashes):,} tokens differ: expected {texts.get(tokenizer.ids[token])!r} at id "
                f"{tokenizer.ids[token]} as in {base!r}, found {token!r}"
            )
        elif added:
            warnings.append(f"{name!r} has {len(added):,} tokens more than {base!r}, e.g. {min(added)!r}")
        elif dropped:
            warnings.append(f"{name!r} lacks {len(dropped):,} tokens of {base!r}, e.g. {min(dropped)!r}")
    level: Level = "error" if errors else "warning" if warnings else "ok"
    return PreflightRow("vocabulary", values, level, "; ".join(errors + warnings))


def _mapped_vocabulary(vocabulary: Vocabulary) -> PreflightRow:
    values = {name: f"{len(tokens):,} tokens" for name, tokens in vocabulary.own.items()}
    lacking = {name: len(vocabulary.ids.keys() - tokens.keys()) for name, tokens in vocabulary.own.items()}
    notes = [f"{name!r} lacks {count:,}" for name, count in lacking.items() if count]
    note = f"mapped token by token to {len(vocabulary.ids):,} tokens in {vocabulary.n_rows:,} rows"
    return PreflightRow("vocabulary", values, "warning" if notes else "ok", "; ".join([note, *notes]) if notes else "")


def _special(tokenizer: TokenizerFiles, checkpoint: Checkpoint) -> str:
    """Return e.g. "bos <s> 1, eos </s> 2, pad - -, unk <unk> -"."""
    parts = []
    for kind in SPECIAL_TOKENS:
        token, number = tokenizer.special[kind], checkpoint.config.get(f"{kind}_token_id")
        parts.append(f"{kind} {token or '-'} {'-' if number is None else number}")
    return ", ".join(parts)


# Settings that change what the same weights compute; other differences are worth a warning only.
_COMPUTES = re.compile(
    r"^(num|n)_(?!labels|beams|positions|ctx)|heads?$|head_dim|hidden_(size|act)|activation|_eps|epsilon|scal|softcap"
    r"|multiplier|sliding|window|layer_types|parallel|rotary|expert|top_?k|norm_"
)
_COMPARED_ELSEWHERE = re.compile(
    r"^(model_type|num_hidden_layers|n_layers?|num_layers|vocab_size|tie_word_embeddings|(torch_)?dtype|_name_or_path"
    r"|rope_.*|rotary_emb_base|partial_rotary_factor|rotary_pct|\w+_token_id)$"
)
_ROPE_NAMES = {"type": "rope_type", "rotary_emb_base": "rope_theta", "rotary_pct": "partial_rotary_factor"}


def compare_configs(checkpoints: Mapping[str, Checkpoint], base: str, *, per_layer: bool = True) -> list[PreflightRow]:
    """Return the rows on architecture and rope, and one row per other setting that differs; lists if `per_layer`."""
    configs = {name: c.config for name, c in checkpoints.items()}
    architectures = {name: str(config.get("model_type")) for name, config in configs.items()}
    advice = "only models of one architecture merge"
    keys = sorted({key for config in configs.values() for key in config if not _COMPARED_ELSEWHERE.match(key)})
    keys = [key for key in keys if per_layer or not any(isinstance(c.get(key), list) for c in configs.values())]
    rows = [_setting(key, {n: c[key] for n, c in configs.items() if key in c}, base) for key in keys]
    return [
        same_as_base("architecture", architectures, base, otherwise="error", advice=advice),
        _rope(configs, base),
        *(row for row in rows if row.level != "ok"),
    ]


def _setting(key: str, found: Mapping[str, Any], base: str) -> PreflightRow:
    # A key that one config leaves out has the architecture's default there, which the file does not tell.
    values = {name: json.dumps(value) for name, value in found.items()}
    if base not in values or len(set(values.values())) == 1:
        return PreflightRow(key, values)
    level: Level = "error" if _COMPUTES.search(key) else "warning"
    advice = "the same weights compute something else" if level == "error" else "the merge takes the base's"
    return same_as_base(key, values, base, otherwise=level, advice=advice)


def _rope(configs: Mapping[str, Mapping[str, Any]], base: str) -> PreflightRow:
    ropes = {name: _rope_settings(config) for name, config in configs.items()}
    values = {name: " ".join(f"{k}={v}" for k, v in sorted(rope.items())) or "default" for name, rope in ropes.items()}
    notes = [
        f"{name!r} has {key} {rope[key]}, {base!r} has {ropes[base][key]}"
        for name, rope in ropes.items()
        for key in sorted(rope.keys() & ropes[base].keys())
        if rope[key] != ropes[base][key]
    ]
    if notes:
        return PreflightRow("rope", values, "error", f"{'; '.join(notes)}: positions would mean different things")
    if any(rope != ropes[base] for rope in ropes.values()):
        return PreflightRow("rope", values, "warning", "one config says more than another; the merge takes the base's")
    return PreflightRow("rope", values)


def _rope_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return rope parameters under the names of transformers 5, whichever version wrote the config."""
    flat = {
        _ROPE_NAMES.get(key, key): config[key]
        for key in ("rope_theta", "rotary_emb_base", "partial_rotary_factor", "rotary_pct")
        if config.get(key) is not None
    }
    nested = config.get("rope_parameters") or config.get("rope_scaling") or {}
    settings = {**flat, **{_ROPE_NAMES.get(key, key): value for key, value in nested.items()}}
    if settings.get("rope_type") == "default":
        del settings["rope_type"]
    return settings
