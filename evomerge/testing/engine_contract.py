"""What every engine must do that merges and answers in a worker. To test one: subclass, and give the fixtures.

`resident` becomes the `recipes`, whose models differ in what they write; `reference` is a plain `ResidentModel` on the
same parents, in float32 like the engine, and `tokenizer` that of all models. `faulty` are recipes that cannot be
carried out; the logits of `overflowing` are not finite. Make them fixtures of the module, with its scope: starting an
engine takes long.

`cached` is the number of tokens after which an engine may keep what it computed of a prompt (a block of a prefix
cache).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from evomerge.workers.worker import Resident
from fitness.engine.language_model import (
    Answer,
    Completion,
    CompletionLength,
    Continuation,
    Distributions,
    LogLikelihood,
    NextTokens,
    Request,
    Sampling,
    WholeText,
)
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.trie import TrieLanguageModel
from fitness.errors import FitnessError
from search_spaces.errors import SpaceError
from search_spaces.recipes.recipe import Recipe


class EngineContract:
    cached = 128
    tolerance = 1e-4  # of a log-likelihood in float32, in nats
    text = "the parents of a merge are read once, and what is made of them is what will be exported. "

    @pytest.fixture
    def long_prompt(self, tokenizer: Tokenizer) -> str:
        one = len(tokenizer.encode(self.text))
        return self.text * (1 + (5 * self.cached // 2) // one)

    def answers(self, resident: Resident, tokenizer: Tokenizer, requests: Sequence[Request]) -> list[Answer]:
        return TrieLanguageModel(tokenizer).plan(requests).answer(resident.model)

    def test_completions_are_the_plain_engines(
        self, resident: Resident, reference: Resident, tokenizer: Tokenizer, recipes: tuple[Recipe, Recipe]
    ) -> None:
        asked = [Completion(f"{word} is", max_new_tokens=n) for n in (1, 7, 24) for word in ("one", "a merge", "")]
        requests: list[Request] = [*asked, *map(CompletionLength, asked)]
        for recipe in recipes:
            resident.become(recipe)
            reference.become(recipe)
            assert self.answers(resident, tokenizer, requests) == self.answers(reference, tokenizer, requests)

    def test_stop_strings_end_and_cut_completions_as_in_the_plain_engine(
        self, resident: Resident, reference: Resident, tokenizer: Tokenizer, recipes: tuple[Recipe, Recipe]
    ) -> None:
        reference.become(recipes[0])
        (written,) = self.answers(reference, tokenizer, [Completion("one is", max_new_tokens=24)])
        assert isinstance(written, str)
        assert len(written) > 8
        stops = [(written[3:5],), (written[6],), ("zzzz",), (written[7:9], written[2]), (written[0],), (written[1:7],)]
        asked = [Completion("one is", stop=stop, max_new_tokens=24) for stop in stops]
        requests: list[Request] = [*asked, *map(CompletionLength, asked)]
        resident.become(recipes[0])
        found = self.answers(resident, tokenizer, requests)
        assert found == self.answers(reference, tokenizer, requests)
        assert found[0] == written.partition(written[3:5])[0]

    def test_an_end_token_ends_a_completion(
        self, resident: Resident, reference: Resident, tokenizer: Tokenizer, recipes: tuple[Recipe, Recipe]
    ) -> None:
        reference.become(recipes[0])
        resident.become(recipes[0])
        (written,) = self.answers(reference, tokenizer, [Completion("one is", max_new_tokens=24)])
        assert isinstance(written, str)
        third = tokenizer.encode(written)[2]
        ending = Tokenizer(tokenizer.pretrained, max_length=tokenizer.max_length, end_ids=frozenset({third}))
        asked = Completion("one is", max_new_tokens=24)
        requests: list[Request] = [asked, CompletionLength(asked)]
        known, tokenizer.end_ids = tokenizer.end_ids, ending.end_ids
        try:
            found = self.answers(resident, tokenizer, requests)
            assert found == self.answers(reference, tokenizer, requests)
            assert found[1] <= 3  # type: ignore[operator]
        finally:
            tokenizer.end_ids = known

    def test_log_likelihoods_are_the_plain_engines(
        self,
        resident: Resident,
        reference: Resident,
        tokenizer: Tokenizer,
        recipes: tuple[Recipe, Recipe],
        long_prompt: str,
    ) -> None:
        requests: list[Request] = [
            *(
                Continuation(context, said)
                for context in ("", "one is", long_prompt)
                for said in (" two", " a, b", "c")
            ),
            WholeText(self.text),
            WholeText(long_prompt * 3),
        ]
        for recipe in recipes:
            resident.become(recipe)
            reference.become(recipe)
            found, expected = (self.answers(r, tokenizer, requests) for r in (resident, reference))
            for one, other in zip(found, expected, strict=True):
                assert isinstance(one, LogLikelihood)
                assert isinstance(other, LogLikelihood)
                assert one.value == pytest.approx(other.value, rel=1e-5, abs=self.tolerance)
                assert one.is_greedy == other.is_greedy

    def test_distributions_are_the_plain_engines(
        self, resident: Resident, reference: Resident, tokenizer: Tokenizer, recipes: tuple[Recipe, Recipe]
    ) -> None:
        resident.become(recipes[1])
        reference.become(recipes[1])
        found, expected = (self.answers(r, tokenizer, [NextTokens(self.text, 4)])[0] for r in (resident, reference))
        assert isinstance(found, Distributions)
        assert isinstance(expected, Distributions)
        np.testing.assert_allclose(found.log_probabilities, expected.log_probabilities, atol=self.tolerance)

    def test_nothing_of_the_recipe_before_is_in_the_answers(
        self,
        resident: Resident,
        reference: Resident,
        tokenizer: Tokenizer,
        recipes: tuple[Recipe, Recipe],
        long_prompt: str,
    ) -> None:
        requests = [Completion(long_prompt + end, max_new_tokens=12) for end in ("one", "two")]
        first, second = recipes
        expected = {}
        for recipe in recipes:
            reference.become(recipe)
            expected[recipe.digest] = self.answers(reference, tokenizer, requests)
        assert expected[first.digest] != expected[second.digest]
        for recipe in (first, second, first):
            resident.become(recipe)
            assert self.answers(resident, tokenizer, requests) == expected[recipe.digest]

    def test_answers_do_not_depend_on_the_other_requests(
        self, resident: Resident, tokenizer: Tokenizer, recipes: tuple[Recipe, Recipe], long_prompt: str
    ) -> None:
        resident.become(recipes[0])
        requests = [Completion(prompt, max_new_tokens=9) for prompt in ("one", long_prompt, "two is", "one", "")]
        together = self.answers(resident, tokenizer, requests)
        assert [self.answers(resident, tokenizer, [request])[0] for request in reversed(requests)] == together[::-1]

    def test_logits_that_are_not_finite_are_an_error_not_a_text(
        self, resident: Resident, tokenizer: Tokenizer, overflowing: Recipe
    ) -> None:
        resident.become(overflowing)
        for request in (Completion("one is", max_new_tokens=4), Continuation("one is", " two")):
            with pytest.raises(FitnessError, match="finite"):
                self.answers(resident, tokenizer, [request])

    def test_sampled_completions_depend_on_their_seed_and_prompt_alone(
        self, resident: Resident, tokenizer: Tokenizer, recipes: tuple[Recipe, Recipe]
    ) -> None:
        resident.become(recipes[0])
        asked = [Completion("one is", max_new_tokens=9, sampling=Sampling(2.0, seed=seed)) for seed in range(4)]
        together = self.answers(resident, tokenizer, asked)
        assert len(set(map(str, together))) > 1
        assert [self.answers(resident, tokenizer, [one])[0] for one in asked] == together

    def test_after_a_recipe_that_cannot_be_carried_out_the_next_is_right(
        self,
        resident: Resident,
        reference: Resident,
        tokenizer: Tokenizer,
        recipes: tuple[Recipe, Recipe],
        faulty: Sequence[Recipe],
    ) -> None:
        requests = [Completion("a merge is", max_new_tokens=12)]
        reference.become(recipes[1])
        expected = self.answers(reference, tokenizer, requests)
        for recipe in faulty:
            resident.become(recipes[0])
            with pytest.raises(SpaceError):
                resident.become(recipe)
            resident.become(recipes[1])
            assert self.answers(resident, tokenizer, requests) == expected
