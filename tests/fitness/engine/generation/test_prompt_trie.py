"""Prompts as one trie: what is shared, what is a prompt's own, and in which order it is run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fitness.engine.generation.prompt_trie import PromptTrie
from fitness.engine.scoring.windows import Prompt

prompts = st.lists(
    st.builds(
        Prompt,
        ids=st.lists(st.integers(0, 2), min_size=1, max_size=8).map(tuple),
        stop=st.just(()),
        max_new_tokens=st.integers(1, 2),
    ),
    max_size=6,
)


@given(st.lists(prompts, max_size=3))
def test_a_prompt_owns_exactly_the_tokens_that_no_other_begins_with(blocks: list[list[Prompt]]):
    beginnings = [prompt.ids[:-1] for block in blocks for prompt in block]
    for path in (path for block in PromptTrie(blocks).blocks for path in block):
        ids = path.prompt.ids[:-1]
        n_sharing = [sum(other[:n] == ids[:n] for other in beginnings) for n in range(1, len(ids) + 1)]
        assert path.n_shared == sum(n > 1 for n in n_sharing)
        assert path.n_shared + path.n_own == len(ids)


@given(st.lists(prompts, max_size=3))
def test_a_prompt_is_ready_when_its_path_has_run_its_own_nodes_one_after_the_other(blocks: list[list[Prompt]]):
    laid_out = PromptTrie(blocks)
    trie, order = laid_out.trie, laid_out.order.tolist()
    assert sorted(order) == list(range(len(trie)))
    for path in (path for block in laid_out.blocks for path in block):
        node, nodes = path.leaf, []
        while node >= 0:
            nodes.append(node)
            node = int(trie.parents[node])
        places = [order.index(node) for node in reversed(nodes)]
        assert [int(trie.tokens[node]) for node in reversed(nodes)] == list(path.prompt.ids[:-1])
        assert path.ready == (places[-1] + 1 if places else 0)
        assert places == sorted(places)
        own = places[path.n_shared :]
        assert own == list(range(path.ready - path.n_own, path.ready))
        assert [order[place] for place in own] == list(range(path.own_start, path.leaf + 1))


@given(st.lists(prompts, max_size=3))
def test_no_block_waits_for_a_prompt_of_a_later_one(blocks: list[list[Prompt]]):
    for n in range(len(blocks)):
        earlier = {prompt.ids[:i] for block in blocks[: n + 1] for prompt in block for i in range(1, len(prompt.ids))}
        assert all(path.ready <= len(earlier) for path in PromptTrie(blocks).blocks[n])
