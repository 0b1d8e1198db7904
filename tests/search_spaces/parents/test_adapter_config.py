"""What an adapter_config.json may say, told by peft's own LoraConfig."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import peft
import pytest

from search_spaces.errors import SpaceError
from search_spaces.parents.adapter_config import check_config

PATH = Path("adapter_config.json")
FIELDS = {f.name: f for f in dataclasses.fields(peft.LoraConfig)}
VARIANTS = [name for name, f in FIELDS.items() if f.metadata.get("is_lora_variant")]


def said(**settings: object) -> dict[str, object]:
    return {**peft.LoraConfig(target_modules=["q_proj"]).to_dict(), "peft_type": "LORA", **settings}


def test_what_peft_writes_of_a_plain_adapter_is_accepted() -> None:
    check_config(PATH, said())
    check_config(PATH, said(use_rslora=True, exclude_modules=["lm_head"], layers_to_transform=[1], bias="lora_only"))
    check_config(PATH, said(init_lora_weights="eva", eva_config={"rho": 2.0}, megatron_core="megatron.core"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_that_peft_has_is_refused_by_its_key(variant: str) -> None:
    with pytest.raises(SpaceError, match=f"{variant}: expected it to be off: .*; "):
        check_config(PATH, said(**{variant: {"r": 1}}))


@pytest.mark.parametrize("key", ["use_qalora", "lora_bias", "layer_replication", "megatron_config"])
def test_other_arithmetic_is_refused_by_its_key(key: str) -> None:
    with pytest.raises(SpaceError, match=f"{key}: expected it to be off"):
        check_config(PATH, said(**{key: [1]}))


@pytest.mark.parametrize("value", [True, {"beta": 1}, [3]])
def test_a_key_of_tomorrow_that_switches_something_on_is_refused_by_its_name(value: object) -> None:
    with pytest.raises(SpaceError, match="use_newer: expected the settings of a plain LoRA, found"):
        check_config(PATH, said(use_newer=value))


@pytest.mark.parametrize("value", [False, None, {}, [], 16, "word"])
def test_a_key_of_tomorrow_that_is_off_or_only_tunes_is_accepted(value: object) -> None:
    check_config(PATH, said(newer_setting=value))


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga"])
def test_beginnings_that_change_the_base_are_refused(start: str) -> None:
    with pytest.raises(SpaceError, match=f"init_lora_weights: .*found '{start}'"):
        check_config(PATH, said(init_lora_weights=start))


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - {*VARIANTS, "peft_type"}))
def test_no_field_of_peft_is_a_stranger(name: str) -> None:
    complaint = ""
    try:
        check_config(PATH, said(**{name: [1]}))
    except SpaceError as error:
        complaint = str(error)
    assert "does not know" not in complaint
