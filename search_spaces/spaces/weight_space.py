"""The weight space: which operator merges the parents, and how much of each, per group of layers and modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from search_spaces.errors import SpaceError
from search_spaces.operators.operator import Operator
from search_spaces.operators.registry import check_rule, find_operator
from search_spaces.operators.scales import Options, Scale
from search_spaces.recipes.groups import Group, Groups, covers, layout
from search_spaces.recipes.recipe import (
    SHARED_VOCABULARY,
    ExportDtype,
    Input,
    OutputTokenizer,
    Parameter,
    ParentSource,
    Recipe,
    Rule,
    Where,
)
from search_spaces.spaces.genes import Gene, GeneInfo, Genes, Key
from search_spaces.spaces.settings import Setting, at_layer
from search_spaces.spaces.soup_weights import Form, SoupWeights
from search_spaces.spaces.space import Landmark, weight_landmarks
from search_spaces.spaces.structure import Structure
from search_spaces.typing import Genome


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
    ) -> None:
        """Lay the genes out.

        Args:
            parents: name -> source, the base included.
            base: the parent that task vectors are taken from, and that donates config and tokenizer.
            n_layers: depth of every parent.
            operators: names of one or more operators; several make the operator a gene.
            groups: which tensors share genes.
            genes: parameter -> (low, high) or a list of choices, or a value that freezes it; or a mapping with one of
                these for each merged parent. What is not given keeps the operator's default, or is searched between
                the operator's default bounds if it has none.
            operator_per: whether one operator merges the whole model, or each group has its own.
            whole_model: parameters with one gene for the whole model instead of one per group.
            dtype: what recipes are rounded to.
            seed: seed of the recipes' random masks.
            tokenizer: the recipes'.
            merge_base: merge the base as well: it is one of the models to merge, and not what they began as. There is
                no landmark of task vectors then.
            weights: simplex or affine: each group's weights sum to 1, and have one gene fewer than parents; bounds of
                `genes`' weight are those of the soup's coordinates then.

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
        self._operators = {name: find_operator(name) for name in operators}
        self._choice = Options(tuple(operators))
        self._per_group = operator_per == "group"
        self._soup = None if weights == "free" else SoupWeights(weights, self._merged)
        if self._soup:
            self._soup.check(list(self._operators.values()))
        self._genes = Genes.of(
            list(self._operators.values()), genes, self._merged, whole_model=whole_model, soup=self._soup
        )
        self._depth, self._n_layers, self._modules = groups.depth, n_layers, groups.modules
        self._groups = layout(groups, n_layers)
        self._infos = tuple(self._lay_out())
        self._check()

    @property
    def dim(self) -> int:
        """Length of a genome."""
        return len(self._infos)

    def gene_names(self) -> list[GeneInfo]:
        """Return what each dimension means, in order."""
        return list(self._infos)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of layers and modules, in the order of their genes."""
        return tuple(self._groups)

    @property
    def structure(self) -> Structure:
        """Which genes are choices; every gene always counts."""
        operators, scales = Options(tuple(self._operators)), self._genes.scales
        per_gene = [operators if i.parameter == "operator" else scales[i.parameter, i.parent] for i in self._infos]
        choices = {gene: len(scale.options) for gene, scale in enumerate(per_gene) if isinstance(scale, Options)}
        return Structure(self.dim, indicators=(), on=(0, 0), choices=choices)

    def start(self) -> Genome:
        """Return where a search begins: the middle of every range."""
        return np.full(self.dim, 0.5)

    def decode(self, genome: Genome) -> Recipe:
        """Return the recipe of a genome; values outside [0, 1] count as the nearest end, NaN as the middle.

        Raises:
            SpaceError: the genome does not have the shape (dim,).
        """
        if np.shape(genome) != (self.dim,):
            raise SpaceError(f"genome: expected shape ({self.dim},), found {np.shape(genome)}")
        genes = iter(np.asarray(genome, dtype=np.float64).tolist())
        operator = self._operator(genes, searched=not self._per_group)
        whole = {key: scale.value(next(genes)) for key, scale in self._genes.model.items()}
        settings = []
        for _ in self._groups:
            own = self._operator(genes, searched=True) if self._per_group else operator
            values = {key: scale.value(next(genes)) for key, scale in self._genes.group.items()}
            settings.append(self._sound(Setting(own, {**self._genes.frozen, **whole, **values}, self._soup)))
        return self._recipe(self._rules(settings))

    def encode(self, recipe: Recipe) -> Genome:
        """Return the genome of a recipe that decode yields; of another recipe with these operators, the nearest.

        Genes that no rule's operator uses lie in the middle.

        Raises:
            SpaceError: the recipe uses an operator or parents that this space does not, or changes operator on its way
                where one holds for the whole model.
        """
        rules = [self._rule_at(recipe, group) for group in self._groups]
        names = {rule.operator for rule in rules}
        if not names <= set(self._operators) or (len(names) > 1 and not self._per_group):
            raise SpaceError(f"operator: expected one of {list(self._operators)} everywhere, found {sorted(names)}")
        found = [self._values_of(check_rule(rule)) for rule in rules]
        genes = [] if self._per_group else self._operator_genes(rules[0])
        for key, scale in self._genes.model.items():
            value = next((values[key] for values in found if key in values), None)
            genes.append(0.5 if value is None else scale.gene(value))
        for rule, values in zip(rules, found, strict=True):
            genes += self._operator_genes(rule) if self._per_group else []
            genes += [scale.gene(values[k]) if k in values else 0.5 for k, scale in self._genes.group.items()]
        return np.array(genes, dtype=np.float64)

    def landmarks(self) -> list[Landmark]:
        """Return each parent alone (the base among them, in the order of `parents`), the uniform mean, default TIES."""
        has_base = self._base not in self._merged
        return weight_landmarks(self._parents, self._merged, self._recipe, has_base=has_base)

    def _lay_out(self) -> Iterator[GeneInfo]:
        names = self._choice.options
        choices = [(("operator", None), self._choice)] if len(names) > 1 else []
        if not self._per_group:
            yield from (_info(key, scale, None) for key, scale in choices)
        yield from (_info(key, scale, None) for key, scale in self._genes.model.items())
        for group in self._groups:
            if self._per_group:
                yield from (_info(key, scale, group) for key, scale in choices)
            yield from (_info(key, scale, group) for key, scale in self._genes.group.items())

    def _check(self) -> None:
        if not self._infos:
            raise SpaceError("genes: expected at least one with bounds, found none: there is nothing to search")
        highest = {key: scale.value(1.0) for key, scale in self._genes.scales.items()}
        for operator in self._operators.values():
            setting = self._sound(Setting(operator, {**self._genes.frozen, **highest}, self._soup))
            check_rule(setting.rule(self._merged, Where()))
            if setting.cancels:
                expected = f"weights that do not cancel for {operator.name}"
                raise SpaceError(f"genes.weight: expected {expected}, found a sum of 0")

    def _operator(self, genes: Iterator[float], *, searched: bool) -> Operator:
        """Return the operator that the next gene tells, if there is a choice and a gene for it; else the first."""
        if searched and len(self._operators) > 1:
            return self._operators[str(self._choice.value(next(genes)))]
        return next(iter(self._operators.values()))

    def _operator_genes(self, rule: Rule) -> list[float]:
        return [self._choice.gene(rule.operator)] if len(self._operators) > 1 else []

    def _values_of(self, rule: Rule) -> dict[Key, Parameter]:
        inputs = {i.parent: i.parameters for i in rule.inputs}
        if set(inputs) != set(self._merged):
            raise SpaceError(f"inputs: expected the parents {list(self._merged)}, found {list(inputs)}")
        own: dict[Key, Parameter] = {(name, None): value for name, value in rule.parameters.items()}
        found = own | {(n, parent): v for parent, values in inputs.items() for n, v in values.items()}
        return self._soup.contrasted(found) if self._soup else found

    def _sound(self, setting: Setting) -> Setting:
        return setting.sound(self._genes.scales)

    def _recipe(self, rules: Sequence[Rule]) -> Recipe:
        return Recipe(
            self._parents,
            self._base,
            tuple(rules),
            dtype=self._dtype,
            seed=self._seed,
            tokenizer=self._tokenizer,
        )

    def _rule_at(self, recipe: Recipe, group: Group) -> Rule:
        for rule in recipe.rules:
            if rule.where.contains is None and covers(rule.where, group.place):
                return rule
        raise SpaceError(f"rules: expected one for {group.module} in layers {group.layers}, found none")

    def _rules(self, settings: Sequence[Setting]) -> list[Rule]:
        """Return the rules of one setting per group."""
        rules, merged = [], self._merged
        for module in self._modules:
            own = [
                (group, setting)
                for group, setting in zip(self._groups, settings, strict=True)
                if group.module == module
            ]
            if module == "other":
                rules.append(own[0][1].rule(merged, Where(module="other")))
                continue
            kind = None if module == "all" else own[0][0].place.module
            rules += [setting.rule(merged, Where(layers, kind)) for layers, setting in self._stretches(own)]
            if module == "all":
                rules.append(own[0][1].rule(merged, Where(side="before")))
                rules.append(own[-1][1].rule(merged, Where(side="after")))
        if not {"all"} & set(self._modules) and len(self._modules) < 3:
            rules.append(Rule("passthrough", (Input(self._base),)))
        return rules

    def _stretches(self, own: Sequence[tuple[Group, Setting]]) -> list[tuple[tuple[int, int], Setting]]:
        """Return (layers, setting) over the depth: one per block, or one per layer when depth is linear."""
        layers = [group.layers or (0, self._n_layers) for group, _ in own]
        settings = [setting for _, setting in own]
        if self._depth == "constant" or len(own) == 1:
            return list(zip(layers, settings, strict=True))
        knots, scales = [first for first, _ in layers], self._genes.scales
        return [
            ((layer, layer + 1), self._sound(at_layer(layer, knots=knots, settings=settings, scales=scales)))
            for layer in range(self._n_layers)
        ]


def _info(key: Key, scale: Scale, group: Group | None) -> GeneInfo:
    layers, module = (None, None) if group is None else (group.layers, group.module)
    return GeneInfo(*key, layers, module, (scale.value(0.0), scale.value(1.0)), scale)
