"""The pass over passages, against one plain forward pass a passage."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from fitness.engine.language_model import Completion, NextTokens
from fitness.engine.model.memory import Sizes
from fitness.engine.trie import TrieLanguageModel
from fitness.reading import Passage, PassageReader, write_passages

PROMPTS = (
    *(Completion(f"question {i}: {i} plus", max_new_tokens=5) for i in range(4)),
    Completion("question 1: 1 plus", max_new_tokens=5),  # once more: it counts twice
    NextTokens("a text that is read as it is"),
)


class Sum:
    """Collects sum_t n_t x_t x_t^T of a linear layer's input, n_t the note of the pass."""

    def __init__(self, layer: nn.Linear) -> None:
        self.gram, self.passes, self.counts = torch.zeros(layer.in_features, layer.in_features).double(), 0, 0
        self._times = torch.zeros(0)
        self.handle = layer.register_forward_pre_hook(self._add)

    def note(self, times: Tensor) -> None:
        self._times, self.passes, self.counts = times, self.passes + 1, self.counts + int(times.sum())

    def _add(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].reshape(-1, inputs[0].shape[-1]).double()
        assert len(x) == len(self._times)
        self.gram += x.T @ (self._times[:, None] * x)


def layer_of(model: nn.Module) -> nn.Linear:
    return model.model.layers[-1].mlp.down_proj


def slow_gram(model: nn.Module, passages: list[Passage]) -> Tensor:
    total = Sum(layer_of(model))
    with torch.no_grad():
        for passage in passages:
            total.note(torch.ones(len(passage.ids)))
            model(torch.tensor([passage.ids]))
    total.handle.remove()
    return total.gram


def assert_reads_all(model: nn.Module, language_model: TrieLanguageModel, passages: list[Passage]) -> Sum:
    read = Sum(layer_of(model))
    PassageReader(language_model, passages)(model, read.note)
    read.handle.remove()
    assert read.counts == sum(len(passage.ids) for passage in passages)
    expected = slow_gram(model, passages)
    assert torch.allclose(read.gram, expected, atol=1e-4 * float(expected.diagonal().max()))
    return read


def test_every_token_is_counted_as_often_as_it_occurs_through_the_trie_in_several_passes(model, tokenizer):
    engine = TrieLanguageModel(tokenizer, mode="packed", sizes=Sizes(tokens=16, reads=16))
    passages = write_passages(engine, model, PROMPTS)
    read = assert_reads_all(model, engine, passages)
    nodes = {passage.ids[: n + 1] for passage in passages for n in range(len(passage.ids))}
    assert read.passes == -(-len(nodes) // 16)  # what passages share is run once


def test_padding_of_plain_rows_counts_for_nothing(model, tokenizer):
    engine = TrieLanguageModel(tokenizer, mode="plain", sizes=Sizes(tokens=64, reads=16))
    assert_reads_all(model, engine, write_passages(engine, model, PROMPTS))


def test_a_passage_is_the_prompt_and_what_the_model_itself_writes_after_it(model, tokenizer):
    passages = write_passages(TrieLanguageModel(tokenizer), model, PROMPTS)
    for prompt, passage in zip(PROMPTS[:5], passages, strict=False):
        ids = tokenizer.encode(prompt.prompt)
        assert list(passage.ids[: passage.n_prompt]) == ids
        with torch.no_grad():
            for token in passage.written:
                assert int(model(torch.tensor([ids])).logits[0, -1].argmax()) == token
                ids.append(token)
    assert passages[1] == passages[4]
    assert passages[5].written == passages[5].ids == tuple(tokenizer.encode(PROMPTS[5].text))


def test_a_loss_is_the_mean_surprise_at_what_was_written_and_has_a_graph(model, tokenizer):
    engine = TrieLanguageModel(tokenizer)
    passages = write_passages(engine, model, PROMPTS)
    losses = list(PassageReader(engine, passages).losses(model))
    for passage, loss in zip(passages, losses, strict=True):
        first = max(passage.n_prompt, 1)
        logs = log_softmax(model(torch.tensor([passage.ids])).logits[0].double(), dim=-1)
        expected = -sum(logs[i - 1, passage.ids[i]] for i in range(first, len(passage.ids))) / (
            len(passage.ids) - first
        )
        assert torch.isclose(loss.double(), expected, atol=1e-4)
        (gradient,) = torch.autograd.grad(loss, [layer_of(model).weight])
        assert float(gradient.abs().max()) > 0


def test_nothing_written_counts_as_a_text_and_a_single_token_has_no_loss(model, tokenizer):
    ids = tuple(tokenizer.encode("abc"))
    reader = PassageReader(TrieLanguageModel(tokenizer), [Passage(ids, 3), Passage(ids), Passage(ids[:1])])
    first, second = reader.losses(model)
    assert torch.equal(first, second)
