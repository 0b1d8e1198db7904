"""A task whose answers another model judges, served by any address that speaks OpenAI's chat protocol.

    export JUDGE_URL=http://localhost:8000/v1 JUDGE_MODEL=my-judge JUDGE_KEY=...  # vLLM, llama.cpp, a service
    evomerge eval MODEL --tasks python:judge.py:helpful

In a campaign: `objectives: [{name: helpful, tasks: ["python:judge.py:helpful"]}]`. A candidate's answers are written
greedily, and sent with their questions; the judge says a number from 1 to 10. The key stays in the environment. A judge
that does not answer fails the candidate, which is tried again and never told as bad.
"""

from __future__ import annotations

import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

QUESTIONS = {
    "rain": "Why does it rain?",
    "letter": "Write a short letter that thanks a neighbour for watering the plants.",
    "bread": "How is bread made, in five sentences?",
}
RUBRIC = (
    "Rate the answer to the question for being correct, complete and polite, from 1 (useless) to 10 (perfect). "
    "Say the number only."
)
SECONDS, TRIES, TOKENS = 60, 3, 200


def helpful(model: Any, tokenizer: Any, items: Sequence[str] = tuple(QUESTIONS)) -> dict[str, float]:
    """Return what the judge says of each answer, from 0 to 1."""
    return {item: rated(QUESTIONS[item], answer(model, tokenizer, QUESTIONS[item])) for item in items}


helpful.item_ids = tuple(QUESTIONS)  # type: ignore[attr-defined]


def answer(model: Any, tokenizer: Any, question: str) -> str:
    """Return the model's answer, in its chat template where it has one."""
    if tokenizer.chat_template:
        asked = [{"role": "user", "content": question}]
        question = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    inputs = tokenizer(question, return_tensors="pt").to(model.device)
    written = model.generate(**inputs, do_sample=False, max_new_tokens=TOKENS, pad_token_id=tokenizer.pad_token_id or 0)
    return str(tokenizer.decode(written[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def rated(question: str, said: str) -> float:
    """Return the judge's number as a share: 1 is 0, 10 is 1."""
    messages = [
        {"role": "system", "content": RUBRIC},
        {"role": "user", "content": f"Question: {question}\n\nAnswer: {said}"},
    ]
    body = {"model": os.environ["JUDGE_MODEL"], "messages": messages, "temperature": 0, "max_tokens": 8}
    text = _asked(json.dumps(body).encode())["choices"][0]["message"]["content"]
    number = re.search(r"\d+", text)
    if number is None:
        raise ValueError(f"the judge was asked for a number, and said {text[:100]!r}")
    return (min(max(int(number[0]), 1), 10) - 1) / 9


def _asked(body: bytes) -> Any:
    """Return what the judge's address answers; busy or failing ones are asked again, a moment later."""
    key = os.environ.get("JUDGE_KEY", "")
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    request = urllib.request.Request(f"{os.environ['JUDGE_URL'].rstrip('/')}/chat/completions", body, headers)
    for tried in range(1, TRIES + 1):
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            if tried == TRIES or (error.code != 429 and error.code < 500):
                raise
        except OSError:
            if tried == TRIES:
                raise
        time.sleep(0.1 * 4**tried)
    raise AssertionError("the last try returns or raises")
