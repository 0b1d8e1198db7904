"use strict";
// Draws the embedded figures, and shows the candidate that is picked. All text goes in as text, never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const coarse = matchMedia("(pointer: coarse)").matches || innerWidth < 700;
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: false, // a double click resets a zoom; the bar would cover the small panels
  };
  let xAxis = "evaluations";
  let picked = data.order[0];

  // --- colours: figures name CSS variables, plotly wants values ---
  const resolved = (value) => {
    if (typeof value === "string" && value.startsWith("var(")) {
      return getComputedStyle(document.documentElement).getPropertyValue(value.slice(4, -1)).trim();
    }
    if (Array.isArray(value)) return value.map(resolved);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolved(inner)]));
    }
    return value;
  };
  const draw = (place, figure) => {
    const { data: traces, layout } = resolved(figure);
    layout.dragmode = coarse ? false : "zoom"; // a finger scrolls the page
    return Plotly.react(place, traces, layout, config);
  };

  // --- elements ---
  const element = (tag, text, className) => {
    const made = document.createElement(tag);
    if (text !== undefined && text !== null) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const block = (...children) => {
    const made = element("section");
    made.append(...children.filter(Boolean));
    return made;
  };
  const table = (heads, rows) => {
    const made = element("table");
    const head = made.createTHead().insertRow();
    heads.forEach(([text, className]) => head.append(element("th", text, className)));
    const body = made.createTBody();
    rows.forEach((cells) => {
      const row = body.insertRow();
      cells.forEach((cell, i) => row.append(cell instanceof Node ? cell : element("td", cell, heads[i][1])));
    });
    const around = element("div", null, "scroll");
    around.append(made);
    return around;
  };
  const number = (value) => (typeof value === "number" ? String(Number(value.toPrecision(3))) : String(value));
  const score = (found) => {
    if (!found) return "–";
    const cell = element("td", found.value.toFixed(3), "number");
    cell.append(" ", element("small", `± ${found.stderr.toFixed(3)}`));
    return cell;
  };

  // --- one candidate ---
  const scoreTable = (title, scores) => {
    if (!scores.length) return [];
    const splits = ["search", "validation", "test"].filter((split) => scores.some((s) => s.split === split));
    const names = [...new Set(scores.map((s) => s.name))];
    const at = (name, split) => scores.find((s) => s.name === name && s.split === split);
    const estimated = (split) => scores.some((s) => s.split === split && s.kind === "estimated");
    const heads = [[title, ""], ...splits.map((split) => [`${split} items${estimated(split) ? ", estimated" : ""}`, "number"])];
    return [table(heads, names.map((name) => [name, ...splits.map((split) => score(at(name, split)))]))];
  };
  const sameNames = ({ objectives, tasks }) => {
    const names = (scores) => [...new Set(scores.map((s) => s.name))].sort().join("\n");
    return names(objectives) === names(tasks);
  };
  const known = ["weight", "density"]; // first, in this order; then the alphabet
  const rank = ([name]) => (known.includes(name) ? known.indexOf(name) : known.length);
  const parameters = (entries, between) => entries.sort((a, b) => rank(a) - rank(b)).map(([name, value]) => `${name} ${number(value)}`).join(between);
  const whereWords = (where = {}) => {
    const words = [];
    if (where.layers) {
      const [first, end] = where.layers;
      words.push(end === first + 1 ? `layer ${first}` : `layers ${first}–${end - 1}`);
    }
    if (where.side) words.push(where.side === "before" ? "before the layers" : "after the layers");
    if (where.module) words.push(where.module);
    if (where.contains) words.push(`“${where.contains}”`);
    return words.join("\n") || "everything";
  };
  const ruleTable = (recipe) => {
    const parents = [...new Set(recipe.rules.flatMap((rule) => rule.inputs.map((input) => input.parent)))];
    const keys = new Set(recipe.rules.flatMap((rule) => rule.inputs.flatMap(Object.keys)));
    const weightsAlone = keys.size === 2 && keys.has("weight");
    const inputWords = (rule, parent) => {
      const input = rule.inputs.find((found) => found.parent === parent);
      if (!input) return "–";
      if (weightsAlone && "weight" in input) return number(input.weight);
      return parameters(Object.entries(input).filter(([key]) => key !== "parent"), "\n") || "✓";
    };
    const operators = recipe.rules.map((rule) => {
      const own = parameters(Object.entries(rule.parameters || {}), ", ");
      return own ? `${rule.operator} (${own})` : rule.operator;
    });
    const same = new Set(operators).size === 1;
    const heads = [["where", "by where"], ...(same ? [] : [["operator", "by"]]), ...parents.map((parent) => [parent, "by"])];
    const rows = recipe.rules.map((rule, i) => [
      whereWords(rule.where),
      ...(same ? [] : [operators[i]]),
      ...parents.map((parent) => inputWords(rule, parent)),
    ]);
    const words = [same ? `Operator ${operators[0]}.` : "", weightsAlone ? "Numbers are weights." : ""].filter(Boolean);
    return [words.length ? element("p", words.join(" "), "muted") : null, table(heads, rows)];
  };
  const pieceTable = ({ parents, boundaries, coefficients }) => {
    const widths = coefficients.map((_, i) => (boundaries[i + 1] - boundaries[i]) / boundaries.at(-1));
    const heads = [["parent", ""], ...["mean", "lowest", "highest"].map((name) => [name, "number"])];
    const rows = parents.map((parent, k) => {
      const column = coefficients.map((row) => row[k]);
      const mean = column.reduce((sum, value, i) => sum + value * widths[i], 0);
      return [parent, ...[mean, Math.min(...column), Math.max(...column)].map((value) => value.toFixed(3))];
    });
    const words = `A linear combination of the parents, with coefficients that change ${coefficients.length - 1} times along the parameters.`;
    return [element("p", words, "muted"), table(heads, rows)];
  };
  const copy = async (text, button) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = element("textarea", text);
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy recipe as JSON"), 1600);
  };
  const recipeBlocks = (recipe, path) => {
    const text = JSON.stringify(recipe, null, 2);
    const button = element("button", "Copy recipe as JSON");
    button.type = "button";
    button.addEventListener("click", () => copy(text, button));
    const folded = element("details");
    folded.append(element("summary", "Recipe as JSON"), button, element("pre", text));
    const base = element("p", `Base ${recipe.base}, written as ${recipe.dtype}, seed ${recipe.seed}.`, "muted");
    const layers = recipe.layers ? element("p", `${recipe.layers.length} layers: ${path}`) : null;
    const scales = recipe.input_scales
      ? element("p", `Input scales: ${recipe.input_scales.map((scale) => Number(scale.toPrecision(3))).join(", ")}`, "muted")
      : null;
    return block(element("h3", "Recipe"), base, layers, scales, ...(recipe.pieces ? pieceTable(recipe.pieces) : ruleTable(recipe)), folded);
  };
  const showDetail = () => {
    const place = document.getElementById("detail");
    const found = data.candidates[picked];
    place.replaceChildren();
    const tags = element("div", null, "tags");
    (found ? found.marks : []).forEach((mark) => tags.append(element("span", mark)));
    const head = block(element("p", found ? found.title : `candidate ${picked}`, "title"), tags, element("h3", "Scores"));
    place.append(head);
    if (found) {
      head.append(...scoreTable("objective", found.objectives), ...scoreTable("task", sameNames(found) ? [] : found.tasks));
      place.append(recipeBlocks(found.recipe, found.path));
      return;
    }
    const kind = data.estimated.includes(picked) ? "estimated" : "full";
    const scores = data.points[picked].map(([value, stderr], k) => ({ split: "search", name: data.objectives[k], value, stderr, kind }));
    const command = `evomerge export RUN_DIR --pick ${picked} --out DIR`;
    head.append(...scoreTable("objective", scores));
    place.append(
      block(element("h3", "Recipe"), element("p", "The recipe of this candidate is in the archive, not in this page. To build it:", "muted"), element("code", command)),
    );
  };
  const genePlots = new Map(); // parameter -> its plot, kept and redrawn: purging one that is being drawn fails
  const genePlot = (parameter) => {
    if (!genePlots.has(parameter)) {
      const around = element("div");
      around.append(element("h3", parameter), element("div", null, "plot"));
      document.getElementById("gene-plots").append(around);
      genePlots.set(parameter, around);
    }
    return genePlots.get(parameter);
  };
  const showGenes = () => {
    const genes = data.candidates[picked]?.genes ?? [];
    genePlots.forEach((around) => (around.hidden = true));
    genes.forEach((figure) => {
      const around = genePlot(figure.name);
      around.hidden = false;
      draw(around.lastChild, figure);
    });
    const why = data.candidates[picked] ? "This recipe has no numbers to draw." : "The recipe of this candidate is not in this page.";
    document.getElementById("no-genes").textContent = genes.length ? "" : why;
  };

  // --- the front, with a ring around the picked point ---
  const frontPlots = [...document.querySelectorAll(".front-plot")];
  const ring = (figure) => {
    const at = figure.data
      .flatMap((trace) => (trace.customdata || []).map((row, i) => [row[0], trace.x[i], trace.y[i]]))
      .find(([found]) => found === picked);
    return {
      type: "scatter", mode: "markers", hoverinfo: "skip",
      x: at ? [at[1]] : [], y: at ? [at[2]] : [],
      marker: { symbol: "circle-open", size: 24, color: "var(--ink)", line: { width: 1.5 } },
    };
  };
  const drawFront = () => frontPlots.forEach((plot, i) => {
    const figure = data.figures.pareto[i];
    draw(plot, { ...figure, data: [...figure.data, ring(figure)] });
  });
  const moveRing = () => frontPlots.forEach((plot, i) => {
    const { x, y } = ring(data.figures.pareto[i]);
    Plotly.restyle(plot, { x: [x], y: [y] }, [data.figures.pareto[i].data.length]);
  });
  const selects = [...document.querySelectorAll(".candidate-select")];
  const option = (found) => {
    const made = element("option", [found.title, ...found.marks].join(" · "));
    made.value = found.number;
    return made;
  };
  const pick = (candidate) => {
    picked = candidate;
    selects.forEach((select) => {
      select.querySelector(".passing")?.remove();
      if (!data.candidates[picked]) {
        const passing = option({ number: picked, title: `candidate ${picked}`, marks: [] });
        passing.className = "passing";
        select.append(passing);
      }
      select.value = picked;
    });
    showDetail();
    showGenes();
    moveRing();
  };

  // --- best so far ---
  const progressPlots = data.figures.best_so_far.map((figure) => {
    const around = element("div");
    const plot = element("div", null, "plot");
    around.append(element("h3", figure.name), plot);
    document.getElementById("progress-plots").append(around);
    return plot;
  });
  const drawProgress = () => data.figures.best_so_far.forEach((figure, i) => {
    const { x, title } = figure.by[xAxis];
    const layout = { ...figure.layout, xaxis: { ...figure.layout.xaxis, title: { ...figure.layout.xaxis.title, text: title } } };
    draw(progressPlots[i], { data: figure.data.map((trace) => ({ ...trace, x })), layout });
  });
  document.querySelectorAll(".toggle button").forEach((button) => button.addEventListener("click", () => {
    xAxis = button.dataset.by;
    document.querySelectorAll(".toggle button").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    drawProgress();
  }));

  // --- figures that nothing on the page changes ---
  const stillPlots = [...document.querySelectorAll(".still")];
  const drawStill = () => stillPlots.forEach((plot) => draw(plot, data.figures[plot.dataset.set][plot.dataset.at]));

  // --- begin ---
  selects.forEach((select) => {
    select.append(...data.order.map((candidate) => option(data.candidates[candidate])));
    select.addEventListener("change", () => pick(Number(select.value)));
  });
  drawFront();
  drawProgress();
  drawStill();
  frontPlots.forEach((plot) => plot.on("plotly_click", (event) => {
    const point = event.points.find((found) => found.customdata);
    if (point) pick(point.customdata[0]);
  }));
  pick(picked);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    drawFront();
    drawProgress();
    drawStill();
    showGenes();
  });
})();
