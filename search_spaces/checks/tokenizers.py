"""Compare the parents' tokenizers: does a token id mean the same text everywhere?"""

from __future__ import annotations

from collections.abc import Mapping

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
