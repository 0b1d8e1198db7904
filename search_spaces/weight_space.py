"""The weight space: which operator merges the parents, and how much of each, per group of layers and modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import SpaceError
from search_spaces.genes import Bounds, GeneInfo, scales_and_frozen
from search_spaces.groups import Group, Groups, covers, layout
from search_spaces.operators.registry import Operator, check_rule, nearest_name, operator_named
from search_spaces.recipe import ExportDtype, Input, Parameter, ParentSource, Recipe, Rule, Where
from search_spaces.scales import Choice
from search_spaces.settings import Setting, at_layer, cancels, rule_of, with_sound_weights
from search_spaces.space import Landmark

Genome = NDArray[np.float64]


class WeightSpace:
    """Recipes that merge all parents with one operator, its parameters varied over depth and kind of module.

    A genome is float64 (dim,) in [0, 1]; `gene_names` tells what each number means: first the operator (when there is
    a choice), then group by group every searched parameter, parent by parent. The merged inputs are all parents except
    the base (unless `merge_base`), in the order of `parents`.

    A normalised linear merge needs weights that do not cancel. Where |Σw| < 0.001 Σ|w|, decode gives every parent the
    same weight instead (the bound farther from zero), so that no genome of the cube is invalid.
    """

    def __init__(  # noqa: PLR0913 -- one argument per key of a campaign's `space`
        self,
        parents: Mapping[str, ParentSource],
        base: str,
        *,
        n_layers: int,
        operators: Sequence[str],
        groups: Groups,
        genes: Mapping[str, Bounds | float],
        dtype: ExportDtype = "bfloat16",
        seed: int = 0,
        operator_parameters: Mapping[str, Parameter] = MappingProxyType({}),
        merge_base: bool = False,
    ) -> None:
        """Lay the genes out.

        Args:
            parents: name -> source, the base included.
            base: the parent that task vectors are taken from, and that donates config and tokenizer.
            n_layers: depth of every parent.
            operators: names of one or more operators; several make the operator a gene.
            groups: which tensors share genes.
            genes: parameter -> (low, high), or a number that freezes it. What is not given keeps the operator's
                default, or is searched between the operator's default bounds if it has none.
            dtype: what recipes are rounded to.
            seed: seed of the recipes' random masks.
            operator_parameters: fixed parameters such as normalize, for every operator that knows them.
            merge_base: merge the base as well: it is one of the models to merge, and not what they began as. There is
                no landmark of task vectors then.

        Raises:
            SpaceError: anything unknown, out of range or contradictory; the message names the key.
        """
        self._parents, self._base, self._dtype, self._seed = dict(parents), base, dtype, seed
        self._merged = tuple(name for name in parents if name != base or merge_base)
        if base not in parents or not self._merged:
            raise SpaceError(f"parents: expected the base {base!r} and at least one more, found {list(parents)}")
        self._operators = tuple(operator_named(name) for name in operators)
        if not operators or len(set(operators)) < len(operators):
            raise SpaceError(f"operator: expected one or more, each once, found {list(operators)}")
        self._scales, self._frozen = scales_and_frozen(self._operators, genes, self._merged)
        self._fixed = dict(operator_parameters)
        self._depth, self._n_layers, self._modules = groups.depth, n_layers, groups.modules
        self._groups = layout(groups, n_layers)
        self._infos = self._lay_out()
        self._check()

    @property
    def dim(self) -> int:
        """Length of a genome."""
        return len(self._infos)

    def gene_names(self) -> list[GeneInfo]:
        """Return what each dimension means, in order."""
        return list(self._infos)

    def decode(self, genome: Genome) -> Recipe:
        """Return the recipe of a genome; values outside [0, 1] count as the nearest end, NaN as the middle.

        Raises:
            SpaceError: the genome does not have the shape (dim,).
        """
        if np.shape(genome) != (self.dim,):
            raise SpaceError(f"genome: expected shape ({self.dim},), found {np.shape(genome)}")
        values = iter(np.asarray(genome, dtype=np.float64).tolist())
        operator = self._operators[0]
        if len(self._operators) > 1:
            operator = self._operators[Choice(len(self._operators)).value(next(values))]
        settings = []
        for _ in self._groups:
            setting = {key: scale.value(next(values)) for key, scale in self._scales.items()}
            settings.append(self._sound(operator, {**setting, **self._frozen}))
        return self._recipe(self._rules(operator, settings))

    def encode(self, recipe: Recipe) -> Genome:
        """Return the genome of a recipe that decode yields; of another recipe with these operators, the nearest.

        Genes that the recipe's operator does not use lie in the middle.

        Raises:
            SpaceError: the recipe uses an operator or parents that this space does not, or changes operator on its way.
        """
        rules = [self._rule_at(recipe, group) for group in self._groups]
        names, known = {rule.operator for rule in rules}, [operator.name for operator in self._operators]
        if len(names) > 1 or not names <= set(known):
            raise SpaceError(f"operator: expected one of {known} everywhere, found {sorted(names)}")
        genes = []
        if len(known) > 1:
            genes.append(Choice(len(known)).gene(known.index(names.pop())))
        for rule in map(check_rule, rules):
            inputs = {i.parent: i.parameters for i in rule.inputs}
            if set(inputs) != set(self._merged):
                raise SpaceError(f"inputs: expected the parents {list(self._merged)}, found {list(inputs)}")
            for (name, parent), scale in self._scales.items():
                value = (rule.parameters if parent is None else inputs[parent]).get(name)
                genes.append(0.5 if value is None else scale.gene(float(value)))
        return np.array(genes, dtype=np.float64)

    def landmarks(self) -> list[Landmark]:
        """Return each parent alone (the base among them, in the order of `parents`), the uniform mean, default TIES.

        Default TIES is the paper's setting when there is no validation data: density 0.2, weights and λ 1
        (Yadav et al. 2023, section 4).
        """
        alone = [Landmark(p, self._recipe([Rule("passthrough", (Input(p),))])) for p in self._parents]
        mean = Rule("linear", tuple(Input(p, {"weight": 1.0}) for p in self._merged), {"normalize": True})
        landmarks = [*alone, Landmark("uniform mean", self._recipe([mean]))]
        if self._base not in self._merged:
            inputs = tuple(Input(p, {"weight": 1.0, "density": 0.2}) for p in self._merged)
            ties = Rule("ties", inputs, {"normalize": True, "lambda": 1.0})
            landmarks.append(Landmark("default TIES", self._recipe([ties])))
        return landmarks

    def _lay_out(self) -> tuple[GeneInfo, ...]:
        n_operators = len(self._operators)
        choice = [GeneInfo("operator", None, None, None, (0.0, n_operators - 1.0))] if n_operators > 1 else []
        return (
            *choice,
            *(
                GeneInfo(name, parent, group.layers, group.module, (scale.value(0.0), scale.value(1.0)))
                for group in self._groups
                for (name, parent), scale in self._scales.items()
            ),
        )

    def _check(self) -> None:
        known = {name for operator in self._operators for name in operator.parameters}
        genes = {name for name, _ in (*self._frozen, *self._scales)}
        for name in self._fixed:
            if name not in known - genes:
                raise SpaceError(
                    f"operator parameters: expected some of {sorted(known - genes)}, "
                    f"found {name!r}{nearest_name(name, known - genes)}"
                )
        if not self._infos:
            raise SpaceError("genes: expected at least one with bounds, found none: there is nothing to search")
        highest = {key: scale.value(1.0) for key, scale in self._scales.items()}
        for operator in self._operators:
            setting = self._sound(operator, {**highest, **self._frozen})
            check_rule(self._rule(operator, setting, Where()))
            if self._divides_by_weights(operator) and cancels([v for (n, _), v in setting.items() if n == "weight"]):
                raise SpaceError(f"genes.weight: expected some weight other than 0 for {operator.name}, found only 0")

    def _divides_by_weights(self, operator: Operator) -> bool:
        # Task vectors need no guard here: where their weights cancel, the operators add without dividing.
        return operator.name == "linear" and self._fixed.get("normalize", True) is True

    def _sound(self, operator: Operator, setting: Setting) -> Setting:
        scale = self._scales.get(("weight", self._merged[0]))
        if scale is None or not self._divides_by_weights(operator):
            return setting
        return with_sound_weights(setting, max(scale.value(0.0), scale.value(1.0), key=abs))

    def _recipe(self, rules: Sequence[Rule]) -> Recipe:
        return Recipe(self._parents, self._base, tuple(rules), dtype=self._dtype, seed=self._seed)

    def _rule(self, operator: Operator, setting: Setting, where: Where) -> Rule:
        return rule_of(operator, setting, merged=self._merged, fixed=self._fixed, where=where)

    def _rule_at(self, recipe: Recipe, group: Group) -> Rule:
        for rule in recipe.rules:
            if rule.where.contains is None and covers(rule.where, group.place):
                return rule
        raise SpaceError(f"rules: expected one for {group.module} in layers {group.layers}, found none")

    def _rules(self, operator: Operator, settings: Sequence[Setting]) -> list[Rule]:
        """Return the rules of one setting per group."""
        rules = []
        for module in self._modules:
            own = [
                (group, setting)
                for group, setting in zip(self._groups, settings, strict=True)
                if group.module == module
            ]
            if module == "other":
                rules.append(self._rule(operator, own[0][1], Where(module="other")))
                continue
            kind = None if module == "all" else own[0][0].place.module
            stretches = self._stretches(operator, own)
            rules += [self._rule(operator, setting, Where(layers, kind)) for layers, setting in stretches]
            if module == "all":
                rules.append(self._rule(operator, own[0][1], Where(side="before")))
                rules.append(self._rule(operator, own[-1][1], Where(side="after")))
        if not {"all"} & set(self._modules) and len(self._modules) < 3:
            rules.append(Rule("passthrough", (Input(self._base),)))
        return rules

    def _stretches(
        self, operator: Operator, own: Sequence[tuple[Group, Setting]]
    ) -> list[tuple[tuple[int, int], Setting]]:
        """Return (layers, setting) over the depth: one per block, or one per layer when depth is linear."""
        layers = [group.layers or (0, self._n_layers) for group, _ in own]
        settings = [setting for _, setting in own]
        if self._depth == "constant" or len(own) == 1:
            return list(zip(layers, settings, strict=True))
        knots, scales = [first for first, _ in layers], {name: scale for (name, _), scale in self._scales.items()}
        return [
            (
                (layer, layer + 1),
                self._sound(operator, at_layer(layer, knots=knots, settings=settings, scales=scales)),
            )
            for layer in range(self._n_layers)
        ]
