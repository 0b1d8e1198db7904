"""The weight space: which operator merges the parents, and how much of each, per group of layers and modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from search_spaces.errors import SpaceError
from search_spaces.operators.registry import check_rule, find_operator
from search_spaces.operators.scales import Options, Scale
from search_spaces.recipes.groups import Group, Groups, covers, layout, matches
from search_spaces.recipes.recipe import SHARED_VOCABULARY, ExportDtype, OutputTokenizer, ParentSource, Recipe
from search_spaces.recipes.rule import Input, Parameter, Rule, Where
from search_spaces.recipes.spans import Span, spans
from search_spaces.spaces.genes import Gene, GeneInfo, Genes, Key
from search_spaces.spaces.plan import OPERATOR, Method, laid_out
from search_spaces.spaces.soup_weights import Form, SoupWeights
from search_spaces.spaces.space import Genome, Landmark, Structure, weight_landmarks

# Weights that cancel to less than this share of Σ|w| cannot be normalised: the merge would explode.
CANCELLING_SHARE = 1e-3
VANISHING_SUM = 1e-8


class WeightSpace:
    """Recipes that merge all parents, operators and their parameters varied over depth and kind of module.

    A genome is float64 (dim,) in [0, 1]; `gene_names` tells what each number means: first what holds for the whole
    model (the operator, when there is a choice; then parameters such as those of LiNeS), then group by group every
    searched parameter, parent by parent. With `operator_per` "group" each group begins with an operator of its own.
    The merged inputs are all parents except the base (unless `merge_base`), in the order of `parents`.

    An average needs weights that do not cancel. Where |Σw| < 0.001 Σ|w|, decode gives every parent the bound of its
    weight that is farther from zero instead, so that no genome of the cube is invalid. Weights that sum to 1 by
    construction (`SoupWeights`) have no such genomes, and no direction in which nothing changes.
    """

    def __init__(  # noqa: PLR0913 -- one argument per key of a campaign's `space`
        self,
        parents: Mapping[str, ParentSource],
        base: str,
        *,
        n_layers: int,
        operators: Sequence[str],
        groups: Groups,
        genes: Mapping[str, Gene | Mapping[str, Gene]],
        operator_per: Literal["model", "group"] = "model",
        whole_model: Sequence[str] = (),
        dtype: ExportDtype = "bfloat16",
        seed: int = 0,
        tokenizer: OutputTokenizer = SHARED_VOCABULARY,
        merge_base: bool = False,
        weights: Literal["free"] | Form = "free",
        statistics: Mapping[str, str] | None = None,
        merges: Sequence[str] = (),
        stacks: Mapping[str, int] | None = None,
    ) -> None:
        """Lay the genes out.

        Args:
            parents: name -> source, the base included.
            base: the parent that task vectors are taken from, and that donates config and tokenizer.
            n_layers: depth of every parent, of a model with several stacks that of the main one.
            operators: names of one or more operators; several make the operator a gene.
            groups: which tensors share genes.
            genes: parameter -> (low, high) or a list of choices, or a value that freezes it; or a mapping with one of
                these for each merged parent. What is not given keeps the operator's default, or is searched between
                the operator's default bounds if it has none. Of several operators, one that reads a gene they share
                between bounds of its own has them under its name: {"regmean": {"weight": (0.1, 10.0)}}.
            operator_per: whether one operator merges the whole model, or each group has its own.
            whole_model: parameters with one gene for the whole model instead of one per group.
            dtype: what recipes are rounded to.
            seed: seed of the recipes' random masks.
            tokenizer: the recipes'.
            merge_base: merge the base as well: it is one of the models to merge, and not what they began as. There is
                no landmark of task vectors then.
            weights: simplex or affine: each group's weights sum to 1, and have one gene fewer than parents; bounds of
                `genes`' weight are those of the soup's coordinates then.
            statistics: merged parent -> digest of what it computed on prompts; recipes name them where an operator
                reads them.
            merges: parents that are merges of the others; the uniform mean and default TIES are without them.
            stacks: depth of every stack, the main one first (`Architecture.depths`); None: there is one.

        Raises:
            SpaceError: anything unknown, out of range or contradictory; the message names the key.
        """
        self._parents, self._base, self._dtype, self._seed = dict(parents), base, dtype, seed
        self._tokenizer = tokenizer
        self._merged = tuple(name for name in parents if name != base or merge_base)
        if base not in parents or not self._merged:
            raise SpaceError(f"parents: expected the base {base!r} and at least one more, found {list(parents)}")
        if not operators or len(set(operators)) < len(operators):
            raise SpaceError(f"operator: expected one or more, each once, found {list(operators)}")
        known = {name: find_operator(name) for name in operators}
        self._by_group = operator_per == "group"
        self._soup = None if weights == "free" else SoupWeights(weights, self._merged)
        if self._soup:
            self._soup.check(list(known.values()))
        varied = Genes.of(list(known.values()), genes, self._merged, whole_model=whole_model, soup=self._soup)
        self._groups = tuple(layout(groups, n_layers, stacks))
        self._infos, self._scales, self._slots = laid_out(varied, operators, self._groups, operator_per)
        if not self._infos:
            raise SpaceError("genes: expected at least one with bounds, found none: there is nothing to search")
        self._searched, self._own = varied.scales, varied.own
        self._frozen = {OPERATOR: operators[0], **varied.frozen}
        keys = [*varied.frozen, *varied.scales]
        weighed = [*keys, *((("weight", parent) for parent in self._merged) if self._soup else ())]
        self._statistics, self._merges = dict(statistics or {}), tuple(merges)
        self._readers = frozenset(name for name, operator in known.items() if operator.statistics)
        self._methods = {name: Method.of(operator, weighed, self._merged) for name, operator in known.items()}
        self._weights = () if self._soup else tuple(key for key in keys if key[0] == "weight")  # a soup's sum to 1
        self._farther = {name: self._far_ends(name) for name in known}
        self._spans = tuple(spans(groups, self._groups, n_layers, stacks))
        self._rest = (
            ()
            if groups.stack is None and ({"all", "tensor"} & set(groups.modules) or len(groups.modules) == 3)
            else (Rule("passthrough", (Input(base),)),)
        )
        self._check(list(known))

    @property
    def dim(self) -> int:
        """Length of a genome."""
        return len(self._infos)

    def gene_names(self) -> list[GeneInfo]:
        """Return what each dimension means, in order."""
        return list(self._infos)

    @property
    def operators(self) -> tuple[str, ...]:
        """Names of the operators."""
        return tuple(self._methods)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of layers and modules, in the order of their genes."""
        return self._groups

    @property
    def structure(self) -> Structure:
        """Which genes are choices, and which belong to a group of layers; every gene always counts."""
        choices = {gene: len(scale.options) for gene, scale in enumerate(self._scales) if isinstance(scale, Options)}
        shared = set.intersection(*(set(slots.values()) for slots in self._slots)) if len(self._slots) > 1 else set()
        own = (tuple(gene for gene in slots.values() if gene not in shared) for slots in self._slots)
        groups = tuple(genes for genes in own if genes)
        return Structure(self.dim, indicators=(), on=(0, 0), choices=choices, groups=groups)

    def start(self) -> Genome:
        """Return where a search begins: the middle of every range."""
        return np.full(self.dim, 0.5)

    def decode(self, genome: Genome) -> Recipe:
        """Return the recipe of a genome; values outside [0, 1] count as the nearest end, NaN as the middle."""
        if np.shape(genome) != (len(self._scales),):
            raise SpaceError(f"genome: expected shape ({len(self._scales)},), found {np.shape(genome)}")
        genes = np.asarray(genome, dtype=np.float64).tolist()
        values = [scale.value(gene) for scale, gene in zip(self._scales, genes, strict=True)]
        made = [{**self._frozen, **{key: values[gene] for key, gene in slots.items()}} for slots in self._slots]
        if self._own:
            made = [self._as_read(one, genes, slots) for one, slots in zip(made, self._slots, strict=True)]
        settings = list(map(self._sound, made))
        rules = [
            self._rule(self._between(settings, span) if span.share else settings[span.left], span.where)
            for span in self._spans
        ]
        return self._recipe([*rules, *self._rest])

    def encode(self, recipe: Recipe) -> Genome:
        """Return the genome of a recipe that decode yields; of another recipe with these operators, the nearest.

        Genes that no rule's operator uses lie in the middle.

        Raises:
            SpaceError: the recipe uses an operator or parents that this space does not, or changes operator on its way
                where one holds for the whole model.
        """
        rules = [_rule_at(recipe, group) for group in self._groups]
        names = {rule.operator for rule in rules}
        if not names <= set(self._methods) or (len(names) > 1 and not self._by_group):
            raise SpaceError(f"operator: expected one of {list(self._methods)} everywhere, found {sorted(names)}")
        genes = np.full(self.dim, 0.5)
        found = [self._values_of(check_rule(rule)) for rule in rules]
        # Of what holds for the whole model, the first group's value counts.
        for values, slots in reversed(list(zip(found, self._slots, strict=True))):
            own = self._own.get(str(values[OPERATOR]), {})
            for key, gene in slots.items():
                if key in values:
                    genes[gene] = own.get(key, self._scales[gene]).gene(values[key])
        return genes

    def landmarks(self) -> list[Landmark]:
        """Return each parent alone (the base among them, in the order of `parents`), the uniform mean, default TIES."""
        has_base = self._base not in self._merged
        experts = [name for name in self._merged if name not in self._merges]
        return weight_landmarks(self._parents, experts or self._merged, self._recipe, has_base=has_base)

    def _check(self, operators: Sequence[str]) -> None:
        for operator in operators:
            highest = {key: scale.value(1.0) for key, scale in self._scales_of(operator).items()}
            values = self._sound({**self._frozen, **highest, OPERATOR: operator})
            check_rule(self._rule(values, Where()))
            if self._cancel(values):
                raise SpaceError(f"genes.weight: expected weights that do not cancel for {operator}, found a sum of 0")

    def _sound(self, values: dict[Key, Parameter]) -> dict[Key, Parameter]:
        """Return a group's values, every searched weight at its bound farther from zero if the weights cancel."""
        return {**values, **self._farther[str(values[OPERATOR])]} if self._cancel(values) else values

    def _as_read(
        self, setting: dict[Key, Parameter], genes: Sequence[float], slots: Mapping[Key, int]
    ) -> dict[Key, Parameter]:
        """Return a group's values, those of shared genes as its operator reads them."""
        own = self._own.get(str(setting[OPERATOR]), {})
        return {**setting, **{key: scale.value(genes[slots[key]]) for key, scale in own.items()}}

    def _scales_of(self, operator: str) -> dict[Key, Scale]:
        return {**self._searched, **self._own.get(operator, {})}

    def _far_ends(self, operator: str) -> dict[Key, Parameter]:
        """Return every searched weight's bound that is farther from zero."""
        ends = {k: (s.value(0.0), s.value(1.0)) for k, s in self._scales_of(operator).items() if k in self._weights}
        return {key: max(both, key=lambda end: abs(float(end))) for key, both in ends.items()}

    def _cancel(self, values: Mapping[Key, Parameter]) -> bool:
        """Return whether the operator divides by weights that leave too little to divide by."""
        method = self._methods[str(values[OPERATOR])]
        divides = method.divides
        if not isinstance(divides, bool):
            divides = values.get(divides, method.divides_by_default) is True
        if not divides or self._soup:
            return False
        weights = [float(values[key]) for key in self._weights]
        return abs(sum(weights)) <= max(VANISHING_SUM, CANCELLING_SHARE * sum(map(abs, weights)))

    def _rule(self, values: Mapping[Key, Parameter], where: Where) -> Rule:
        if self._soup:
            values = self._soup.weighed(values)
        method = self._methods[str(values[OPERATOR])]
        inputs = [Input(p, {name: values[key] for name, key in keys.items()}) for p, keys in method.inputs.items()]
        own = {name: values[key] for name, key in method.own.items()}
        return Rule(method.name, tuple(inputs), own, where)

    def _between(self, settings: Sequence[dict[Key, Parameter]], span: Span) -> dict[Key, Parameter]:
        """Return the values on the straight line between two knots, snapped to each parameter's scale.

        Between knots of different operators, and for parameters that are no numbers, the nearer knot counts (the left
        one in the middle).
        """
        left, right = settings[span.left], settings[span.right]
        nearer = left if span.share <= 0.5 else right
        if left[OPERATOR] != right[OPERATOR]:
            return nearer
        line = {}
        for key, scale in self._scales_of(str(left[OPERATOR])).items():
            a, b = left[key], right[key]
            if not isinstance(a, bool | str) and not isinstance(b, bool | str):
                line[key] = scale.value(scale.gene(a + span.share * (b - a)))
        return self._sound({**nearer, **line})

    def _values_of(self, rule: Rule) -> dict[Key, Parameter]:
        inputs = {i.parent: i.parameters for i in rule.inputs}
        if set(inputs) != set(self._merged):
            raise SpaceError(f"inputs: expected the parents {list(self._merged)}, found {list(inputs)}")
        own: dict[Key, Parameter] = {OPERATOR: rule.operator, **{(n, None): v for n, v in rule.parameters.items()}}
        found = own | {(n, parent): v for parent, values in inputs.items() for n, v in values.items()}
        return self._soup.contrasted(found) if self._soup else found

    def _recipe(self, rules: Sequence[Rule]) -> Recipe:
        recipe = Recipe(self._parents, self._base, tuple(rules), self._dtype, self._seed, tokenizer=self._tokenizer)
        reads = any(rule.operator in self._readers for rule in rules)
        return replace(recipe, statistics=self._statistics) if reads else recipe


def _rule_at(recipe: Recipe, group: Group) -> Rule:
    for rule in recipe.rules:
        if group.tensor is None and rule.where.contains is None and covers(rule.where, group.place):
            return rule
        if group.tensor is not None and matches(rule.where, group.tensor, group.place):
            return rule
    where = group.tensor or f"{group.module} in layers {group.layers}"
    raise SpaceError(f"rules: expected one for {where}, found none")
