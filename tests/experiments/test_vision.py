"""The pieces of experiments.vision: images and questions, training, and a campaign over what it makes."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers

import evomerge as em
from experiments.vision.__main__ import CAMPAIGN
from experiments.vision.questions import ITEMS, N_TRAIN, answer, images, names, parity
from experiments.vision.train import train_all


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("vision") / "models"
    train_all(root, steps=(4, 4))
    return root


def test_images_of_the_campaign_are_none_that_were_trained_on_and_words_are_right() -> None:
    pixels, labels = images()
    assert pixels.shape == (1797, 8, 8, 3)
    assert {int(item) for item in ITEMS} == set(range(N_TRAIN, 1797))
    assert (answer("name", 7), answer("parity", 7), answer("parity", 0)) == ("seven", "odd", "even")
    assert set(labels.tolist()) == set(range(10))


def test_a_task_counts_the_words_that_a_model_says(models: Path) -> None:
    processor = transformers.AutoProcessor.from_pretrained(models / "base")
    model = transformers.AutoModelForImageTextToText.from_pretrained(models / "base").eval()
    number = int(ITEMS[0])
    inputs = processor(images=[images()[0][number]], text=["<image> parity"], return_tensors="pt")
    said = processor.tokenizer.convert_ids_to_tokens(int(model(**inputs).logits[0, -1].argmax()))
    right = said == answer("parity", int(images()[1][number]))
    assert parity(model, processor.tokenizer, processor, ITEMS[:1]) == {ITEMS[0]: float(right)}
    assert set(names(model, processor.tokenizer, processor, ITEMS[:3])) == set(ITEMS[:3])


def test_its_campaign_scores_images_and_exports_the_processor(models: Path, tmp_path: Path) -> None:
    changes = {
        "base": str(models / "base"),
        "parents": [str(models / "name"), str(models / "parity")],
        "budget": {"evaluations": 5, "items": 20},
    }
    run = em.search.from_yaml(CAMPAIGN, set=changes, run_dir=tmp_path / "run")
    out = run.export("knee", tmp_path / "out")
    assert isinstance(transformers.AutoProcessor.from_pretrained(out), transformers.LlavaProcessor)
