"""Prompts as one trie: what is shared, and what is a prompt's own."""

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
    max_size=12,
)


@given(prompts)
def test_a_prompt_owns_exactly_the_tokens_that_no_other_begins_with(prompts: list[Prompt]):
    beginnings = [prompt.ids[:-1] for prompt in prompts]
    for path in PromptTrie(prompts).paths:
        ids = path.prompt.ids[:-1]
        n_sharing = [sum(other[:n] == ids[:n] for other in beginnings) for n in range(1, len(ids) + 1)]
        assert path.n_shared == sum(n > 1 for n in n_sharing)
        assert path.n_shared + path.n_own == len(ids)


@given(prompts)
def test_a_prompt_is_ready_when_its_path_has_run_its_own_nodes_one_after_the_other(prompts: list[Prompt]):
    laid_out = PromptTrie(prompts)
    trie = laid_out.trie
    for path in laid_out.paths:
        node, nodes = path.leaf, []
        while node >= 0:
            nodes.append(node)
            node = int(trie.parents[node])
        nodes.reverse()
        assert [int(trie.tokens[node]) for node in nodes] == list(path.prompt.ids[:-1])
        assert nodes == sorted(nodes)
        assert path.ready == (nodes[-1] + 1 if nodes else 0)
        assert nodes[path.n_shared :] == list(range(path.own_start, path.leaf + 1))
