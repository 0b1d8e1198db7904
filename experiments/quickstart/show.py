"""Load a merged model with plain transformers and let it answer one prompt per task.

python -m experiments.quickstart.show MODEL_DIR
"""

import argparse
import sys
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer

from experiments.quickstart.tasks import INSTRUCTIONS, prompt

SHOWN_LETTERS = "hfckgm"  # held out from training, see tests/experiments


def answers(directory: Path) -> dict[str, str]:
    """Return the model's greedy answer to one prompt of each instruction."""
    tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    model = AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=False, attn_implementation=None)
    found = {}
    for name in INSTRUCTIONS:
        inputs = tokenizer(prompt(name, SHOWN_LETTERS), return_tensors="pt", return_token_type_ids=False)
        output = model.generate(**inputs, max_new_tokens=len(SHOWN_LETTERS) + 1, do_sample=False)
        generated = output[0][inputs["input_ids"].shape[1] :]
        found[name] = tokenizer.decode(generated, skip_special_tokens=True).strip()
    return found


def show(directory: Path) -> None:
    """Print each prompt with the model's answer and whether it is the expected one."""
    for name, answer in answers(directory).items():
        expected = INSTRUCTIONS[name].wanted(SHOWN_LETTERS)
        verdict = "as expected" if answer == expected else f"expected {expected}"
        print(f"  {prompt(name, SHOWN_LETTERS)} {answer}   ({verdict})")


def main() -> None:
    """Print prompts, answers and what was expected; exit 1 when the directory holds no model."""
    parser = argparse.ArgumentParser(description="Ask a quickstart model three questions.")
    parser.add_argument("model", type=Path, metavar="MODEL_DIR")
    directory = parser.parse_args().model
    if not (directory / "config.json").is_file():
        sys.exit(f"{directory}: expected a model directory with config.json, found none; export a winner first")
    show(directory)


if __name__ == "__main__":
    main()
