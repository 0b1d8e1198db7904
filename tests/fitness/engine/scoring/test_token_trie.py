"""Tries of token sequences, and the order and pieces in which they are run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fitness.engine.scoring.packing import chunks
from fitness.engine.scoring.token_trie import TokenTrie, build_trie
from fitness.engine.scoring.tree_attention import TreeBlock

Sequences = list[list[int]]
sequences = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=12)


def trie_of(sequences: Sequences) -> tuple[TokenTrie, list[list[int]]]:
    arrays = [np.array(ids, dtype=np.int64) for ids in sequences]
    trie, paths = build_trie(arrays, [np.arange(len(ids)) for ids in sequences])
    return trie, [path.tolist() for path in paths]


@given(sequences)
def test_a_trie_has_one_node_per_different_prefix(sequences: Sequences):
    trie, paths = trie_of(sequences)
    prefixes = {tuple(ids[: n + 1]) for ids in sequences for n in range(len(ids))}
    assert len(trie) == len(prefixes)
    prefix_of = {
        node: tuple(ids[: n + 1]) for ids, path in zip(sequences, paths, strict=True) for n, node in enumerate(path)
    }
    assert set(prefix_of.values()) == prefixes
    for node, prefix in prefix_of.items():
        assert trie.tokens[node] == prefix[-1]
        assert trie.depths[node] == len(prefix) - 1
        assert trie.parents[node] == next((n for n, p in prefix_of.items() if p == prefix[:-1]), -1)


@given(sequences)
def test_a_node_sees_itself_and_its_ancestors_and_nothing_else(sequences: Sequences):
    trie, paths = trie_of(sequences)
    nodes = np.arange(len(trie))
    expected = np.zeros((len(trie), len(trie)), dtype=bool)
    for path in paths:
        for i, node in enumerate(path):
            expected[node, path[: i + 1]] = True
    assert (trie.sees(nodes, nodes) == expected).all()


@given(sequences, st.integers(1, 5))
def test_every_chunk_finds_the_keys_of_all_ancestors_and_keeps_none_for_nothing(sequences: Sequences, size: int):
    trie, _ = trie_of(sequences)
    cut = chunks(trie, size=size)
    assert np.concatenate([chunk.nodes for chunk in cut]).tolist() == list(range(len(trie)))
    kept: set[int] = set()
    for i, chunk in enumerate(cut):
        assert len(chunk.nodes) <= size
        assert set(chunk.context.tolist()) == kept
        at_hand = np.concatenate([chunk.context, chunk.nodes])
        for block in chunk.query_blocks(trie, 2, 3):
            made = TreeBlock(block, torch.device("cpu"))
            narrow, everything = (made.seen(window).numpy() for window in (3, None))
            at = torch.arange(made.n_rows)[:, None], torch.arange(made.n_keys)
            for window, seen in ((3, narrow), (None, everything)):
                assert (made.sees(window)(at[0], at[0], *at).numpy() == seen).all()
            assert everything.any(axis=0).all()
            for row, node in enumerate(chunk.nodes[block.start : block.stop]):
                ancestors = np.flatnonzero(trie.sees(np.array([node]), np.arange(len(trie)))[0])
                assert at_hand[block.keys[everything[row]]].tolist() == ancestors.tolist()
                assert at_hand[block.keys[narrow[row]]].tolist() == ancestors[-3:].tolist()
        kept = set(at_hand[chunk.keep].tolist())
        later = {int(node) for other in cut[i + 1 :] for node in other.nodes}
        for node in kept:
            assert later & set(range(node, int(trie.ends[node])))


def test_chunks_have_equal_sizes():
    trie, _ = trie_of([list(range(11))])
    assert [len(chunk.nodes) for chunk in chunks(trie, size=5)] == [4, 4, 3]


@given(sequences, st.integers(1, 12), st.integers(1, 4), st.sets(st.integers(0, 60)))
def test_chunks_are_bounded_by_what_is_read_in_them(sequences: Sequences, size: int, most: int, wanted: set[int]):
    trie, _ = trie_of(sequences)
    read = np.array(sorted(node for node in wanted if node < len(trie)), dtype=np.int64)
    cut = chunks(trie, size=size, read=read, most_reads=most)
    assert np.concatenate([chunk.nodes for chunk in cut]).tolist() == list(range(len(trie)))
    for chunk in cut:
        assert len(chunk.nodes) <= size
        assert len(set(chunk.nodes.tolist()) & wanted) <= most
    if len(read) <= most:
        assert len(cut) == -(-len(trie) // size)


def test_no_sequences_make_an_empty_trie():
    trie, nodes = build_trie([], [])
    assert len(trie) == 0
    assert nodes == []
    assert chunks(trie, size=5) == []


@pytest.mark.parametrize("n", [1, 3])
def test_equal_sequences_are_there_once(n: int):
    trie, paths = trie_of([[5, 6, 7]] * n)
    assert len(trie) == 3
    assert paths == [[0, 1, 2]] * n
