"""The commented campaign file that `evomerge init` writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

from evomerge.config import BASE, RESERVED_NAMES, ConfigError, ConfigProblem
from evomerge.config.yaml_document import write_flow
from evomerge.wording import in_words

SCHEMA_NAME = ".campaign.schema.json"  # beside the file: it works wherever both go
SCHEMA_COMMENT = f"# yaml-language-server: $schema={SCHEMA_NAME}"
_TEMPLATE = """\
{schema}
# A merge search. Check it with `evomerge plan` and this file, start or resume it with `evomerge run`.
# Keys that are left out take the values shown here, unless a comment says otherwise.

name: {name}  # what the run directory and the report are called

# The model that all parents were fine-tuned from: a directory or a hub id. It gives the config and the tokenizer.
# Every operator on task vectors needs it.
{base}

# The models to merge: directories or hub ids. {{model: ..., name: ..., revision: ...}} also gives a model a name for
# tables, or pins a revision on the hub.
parents:
{parents}
# allow_differences: [rope_theta]  # keys of config.json in which they may differ: the base's count
# trust_remote_code: true  # copy custom code beside the base into exports; it is never run

# Merges of them that are parents as well: each is carried out once, when the search starts. RegMean fits every layer to
# what the parents compute on some prompts of the tasks (statistics.prompts, 64 of each); it looks at no right answer.
# {{name: ..., recipe: merge.yml}} takes a mergekit file. Left out: none.
merges:
  - {{name: {merge}, operator: regmean}}

space:
  kind: weights  # the parents' weights are combined tensor by tensor
  # The merge method: linear, slerp, task_arithmetic, ties, wudi, regmean, ...; docs/operators.md has them all.
  # A list, such as [task_arithmetic, ties], lets the search choose one; with operator_per: group, one for each group.
  operator: {operator}
  # Tensors that share their genes. More groups can merge more finely, and take more evaluations to search.
  groups:
    layer_blocks: {blocks}  # how many blocks the layers are cut into, which need not divide the depth; left out: 5
    # Kinds with genes of their own: [attention, mlp, other]; embeddings, norms and the head are "other". What is not
    # listed stays as it is in the base; [all] gives each block one set of genes. Left out: all three.
    modules: [all]
    depth: constant  # constant: one value per block; linear: values are interpolated over the layers
  # What is searched, within [low, high]. A number alone freezes a gene.
  genes:
{genes}

# What to be good at; every objective is maximised. Tasks are JSONL files, lm-eval YAML files, or names of lm-eval
# tasks. A JSONL line is {{"question": ..., "choices": [...], "gold": 0}}, {{"prompt": ..., "answer": ...}} or
# {{"text": ...}}. tasks/first.jsonl:margin measures something else: acc_norm, margin, acc+margin, entropy, or
# js_divergence (with expert: PARENT beside it); python:checks.py:function is a function of yours.
# Replace these two by your own: the names and the files are examples.
objectives:
  - {{name: first, tasks: [tasks/first.jsonl]}}
  - {{name: second, tasks: [tasks/second.jsonl], weight: 1.0}}  # what maximises the mean uses the weights
  # group: passage_id beside a name says which items come together, if the lines have no key `group`.
  # at_least: 0.6 (or base - 0.01, or PARENT + 0.02) beside a name makes the objective a constraint as well.
  # - {{name: length, cost: tokens}}  # what answers cost, beside them on the front; at_most: base makes it a constraint

# How questions become prompts; left out: in the base's chat template, where it has one, and each lm-eval task's own
# number of examples.
# prompts:
#   apply_chat_template: false  # plain text
#   system_instruction: Answer briefly.
#   fewshot_as_multiturn: true  # examples as turns of the chat
#   num_fewshot: 5  # of lm-eval tasks, or of each: {{mmlu: 5, gsm8k: 8}}

# How rows of your task files are asked, and when a written answer is right; left out: the prompt as it stands, and an
# answer that equals the line.
# questions:
#   template: "Question: {{question}}\\nAnswer:"
#   match: number  # exact, contains, regex, number or choice
#   max_tokens: 256

# Shares of the items, about: the optimiser sees the search items, validation items choose among what it found, and
# test items are seen by nothing before the final table. Each item's split is drawn by what it asks, and the seed.
splits: {{search: 0.5, validation: 0.2, test: 0.3}}  # and final: items that `verify --final` opens, once
# allow_benchmark_test_sets: true  # or take other items: arc_easy@validation
# verification: {{margin: 0.01, masks: 3}}  # a difference that does not matter; other seeds of random masks to try

# Scored first besides the parents, their uniform mean and default TIES: task arithmetic at four scales, RegMean, WUDI,
# as far as the budget allows (auto); or operators as a list; or none. The search begins at the best of them.
landmarks: auto

# bayes learns how genes and items make right answers, and needs the fewest candidates. cma_es (or ga, de, pso, ...)
# maximises the weighted mean of the objectives, nsga2 (or nsga3, sms_emoa, moead, ...) looks for the Pareto front,
# random is a baseline. Further keys go to the library (pymoo, pycma) by its own names. Without this section: bayes for
# weights with at most 300 evaluations; else cma_es for one objective, nsga2 for several.
optimiser:
  kind: bayes
  # warm_start: [merge.yml, runs/other]  # begin with these recipes and the fronts of these runs

budget:
  evaluations: 200  # candidates to score
  # hours: 2  # also stop after this time; left out: no limit
  # items: 100  # search items per candidate; left out: all

# Who answers which items; left out: every candidate answers all of them.
# schedule:
#   kind: halving  # the better part of each generation goes on to twice the items
#   first: 0.125  # the share of the items that everybody answers
#   keep: 0.5  # the share of a generation that goes on each time

# in_process is one worker without further processes; ray is a pool, on this machine or on a cluster.
workers:
  backend: in_process
  count: 1  # each worker holds one model
  # gpus: 0.5  # per worker, 0.5 puts two on one; left out: one where the machine has any
  # cpus: 1  # cores per worker; left out: the machine's, shared evenly
  # address: auto  # ray only: join a running cluster; left out: Ray is started here
  # deadline_seconds: 3600  # ray only: a candidate that takes longer is tried once more, then given up

seed: 0  # the same file gives the same search

export:
  dtype: bfloat16  # or float32, float16; candidates are scored as they would be exported

# Settings of tasks that come from lm-eval.
# lm_eval:
#   include_path: ./my_tasks  # a directory with task YAML files of your own
#   run_model_code: true  # score tasks that run what models write (humaneval, mbpp), in a sandbox without network
"""
# The small campaign that does best: what experiments/operators and experiments/optimisers measured.
_OPERATOR, _BLOCKS, _MERGE = "task_arithmetic", 1, "regmean"
_GENES = {
    "weight": "weight: [0.0, 1.5]  # each parent's share",
    "lambda": "lambda: 1.0  # scales the sum of all changes; [0.5, 1.5] would search it",
}


def template(parents: Sequence[str | Path], base: str | Path | None = None, *, name: str = "my-merge") -> str:
    """Return a commented campaign file for these models; its tasks are placeholders to replace.

    >>> import evomerge as em
    >>> em.template(["./arithmetic", "./words"], "./base").startswith("# yaml-language-server")
    True

    Args:
        parents: two or more directories or hub ids.
        base: what they were fine-tuned from; None: a file that does without.
        name: the campaign's.
    """
    if isinstance(parents, str) or len(parents) < 2:
        raise ConfigError(None, [ConfigProblem("parents", None, "two models or more", in_words(parents))])
    operator, genes = (_OPERATOR, _GENES) if base else ("linear", {"weight": _GENES["weight"]})
    lines = parent_lines(list(map(str, parents)), _MERGE)
    return _TEMPLATE.format(
        schema=SCHEMA_COMMENT,
        name=write_flow(name),
        base=f"base: {write_flow(str(base))}" if base else "# base: organisation/model",
        parents="\n".join(f"  - {line}" for line in lines),
        merge=_MERGE,
        operator=operator,
        blocks=_BLOCKS,
        genes="\n".join(f"    {gene}" for gene in genes.values()),
    )


def parent_lines(models: Sequence[str], merge: str) -> list[str]:
    """Return an entry of `parents` per model, names that are taken (that of a `merge`, too) made different."""
    lines, taken = [], {BASE, merge, *RESERVED_NAMES}
    for model in models:
        default = PurePath(model).name
        stem = default or "parent"
        name = next(n for n in (stem, *(f"{stem}-{i}" for i in range(2, len(taken) + 3))) if n not in taken)
        taken = taken | {name}
        lines.append(write_flow(model if name == default else {"model": model, "name": name}))
    return lines
