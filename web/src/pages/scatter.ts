// Two objectives against each other: everything scored, the front, what it is compared with, what was verified.
import type { Front } from '../data'
import { axis, type Option, type Palette, tip, told } from '../parts/chart'
import { measured, num, short, titled } from '../words'

// Thousands of points are one shape, not an element each.
const MANY: Option = { large: true, largeThreshold: 2000, progressive: 0 }

export interface View { x: number; y: number; errors: boolean; zoom: boolean; predicted: boolean }

export function indexed(front: Front): Map<number, number> {
  return new Map(front.points.number.map((number, i) => [number, i]))
}

export function nameOf(front: Front, number: number): string {
  return front.named.find((one) => one.number === number)?.name ?? `candidate ${number}`
}

export function scatter(front: Front, view: View, at: { selection: Set<number> | null; picked: number | null }, colours: Palette, narrow: boolean): Option {
  const { points, objectives, named } = front
  const { x, y } = view
  const all = points.number.map((_, i) => i)
  const named_ = new Set(named.map((n) => n.number))
  const inside = (i: number) => !at.selection || at.selection.has(points.number[i])
  const point = (i: number) => [points.values[x][i], points.values[y][i], points.number[i]]
  const rest = all.filter((i) => !points.front[i] && !named_.has(points.number[i]))
  const onFront = all.filter((i) => points.front[i])
  const where = indexed(front)
  const of = (number: number) => { const i = where.get(number); return i === undefined ? [] : [i] }
  const knee = front.picks.candidates.knee ?? front.picks.candidates.best
  const bounds = view.zoom ? limits(front, onFront.concat(knee === undefined ? [] : of(knee)), x, y) : {}
  const dots = (id: string, indices: number[], colour: string, size: number, opacity: number, more: Option = {}): Option => ({
    id, type: 'scatter', data: indices.map(point), symbolSize: size, itemStyle: { color: colour, opacity }, emphasis: { scale: 1.5 },
    cursor: 'pointer', ...more,
  })
  const parents = named.filter((n) => n.kind === 'parent').flatMap((n) => of(n.number))
  const baselines = named.filter((n) => n.kind !== 'parent').flatMap((n) => of(n.number))
  const series: Option[] = [
    dots('out', rest.filter((i) => !inside(i)), colours.dominated, 4, 0.18, MANY),
    dots('rest', rest.filter(inside), colours.dominated, rest.length > 3000 ? 4 : 6, 0.75, MANY),
    ...(objectives.length === 2 ? [stairs(front, onFront, x, y, colours)] : []),
    ...(view.errors ? [whiskers('errors', onFront.filter(inside).slice(0, 80).map((i) => cross(front, i, x, y)), colours.front, 0.35)] : []),
    dots('front', onFront.filter((i) => !named_.has(points.number[i])), colours.front, onFront.length > 80 ? 7 : 10, 1,
      { itemStyle: { color: (p: { value: number[] }) => (!at.selection || at.selection.has(p.value[2]) ? colours.front : colours.dominated), borderColor: colours.paper, borderWidth: 1.2 }, z: 4 }),
    landmarks(front, [...parents, ...baselines], point, colours, narrow),
    ...(knee === undefined ? [] : [dots('knee', of(knee), 'transparent', 20, 1, { itemStyle: { color: 'transparent', borderColor: colours.knee, borderWidth: 3 }, silent: true, z: 6 })]),
    ...winners(front, of, x, y, colours),
    ...(view.predicted && front.predicted ? predicted(front, x, y, colours) : []),
    ...(at.picked === null ? [] : [dots('picked', of(at.picked), 'transparent', 26, 1, { itemStyle: { color: 'transparent', borderColor: colours.ink, borderWidth: 1.5, borderType: 'dashed' }, silent: true, z: 8 })]),
  ]
  const scale = (k: number, low?: number, high?: number) => axis(colours, titled(objectives[k]), low === undefined ? {} : { min: low, max: high })
  return {
    animation: false, textStyle: { fontFamily: colours.sans },
    grid: { left: narrow ? 48 : 60, right: 24, top: 20, bottom: 48 },
    xAxis: scale(x, bounds.x?.[0], bounds.x?.[1]), yAxis: { ...scale(y, bounds.y?.[0], bounds.y?.[1]), nameGap: narrow ? 34 : 42 },
    tooltip: { ...tip(colours), formatter: (p: { value?: number[] }) => (p.value && p.value.length > 2 ? describe(front, p.value[2]) : '') },
    brush: { toolbox: [], brushType: false, xAxisIndex: 0, brushStyle: { color: colours.band, borderColor: colours.front, borderWidth: 1 }, outOfBrush: { colorAlpha: 1 }, throttleType: 'debounce', throttleDelay: 60 },
    series,
  }
}

// Parents are full diamonds, recipes by hand empty ones; of names that would cover each other the parents' stay.
function landmarks(front: Front, indices: number[], point: (i: number) => (number | null)[], colours: Palette, narrow: boolean): Option {
  const kinds = new Map(front.named.map((n) => [n.number, n.kind]))
  const knee = front.picks.candidates.knee ?? front.picks.candidates.best
  const data = indices.map((i) => {
    const number = front.points.number[i]
    const parent = kinds.get(number) === 'parent'
    return { value: point(i), symbolSize: parent ? 12 : 10, itemStyle: { color: parent ? colours.ink : colours.card, borderColor: colours.ink, borderWidth: 1.6 }, label: { show: parent || number === knee || (!narrow && indices.length < 24) } }
  })
  return {
    id: 'landmarks', type: 'scatter', symbol: 'diamond', data, z: 5, cursor: 'pointer', labelLayout: { hideOverlap: true },
    label: { position: 'top', distance: 6, color: colours.ink, fontSize: 11, fontFamily: colours.sans, textBorderColor: colours.paper, textBorderWidth: 2,
      formatter: (p: { value: number[] }) => short(nameOf(front, p.value[2]), 18) },
  }
}

export function describe(front: Front, number: number): HTMLElement {
  const i = indexed(front).get(number)
  if (i === undefined) return told(nameOf(front, number), [])
  const lines = front.objectives.map((o, k): [string, string] => [o.name, measured({ value: front.points.values[k][i], stderr: front.points.errors[k][i], low: null, high: null, items: 0, kind: '' }, o)])
  return told(nameOf(front, number), [...lines, ['mean', num(front.points.mean[i])], ['expected on new items', num(front.points.expected[i])]])
}

function limits(front: Front, indices: number[], x: number, y: number) {
  const around = (k: number): [number, number] => {
    const values = indices.map((i) => front.points.values[k][i]).filter((v): v is number => v !== null)
    const errors = Math.max(...indices.map((i) => front.points.errors[k][i] ?? 0), 0)
    const low = Math.min(...values), high = Math.max(...values), margin = Math.max(0.08 * (high - low), errors, 1e-3)
    return [Number((low - margin).toPrecision(3)), Number((high + margin).toPrecision(3))]
  }
  return indices.length ? { x: around(x), y: around(y) } : {}
}

function stairs(front: Front, onFront: number[], x: number, y: number, colours: Palette): Option {
  const sorted = onFront.map((i) => [front.points.values[x][i] ?? 0, front.points.values[y][i] ?? 0]).sort((a, b) => a[0] - b[0])
  return { id: 'stairs', type: 'line', step: front.objectives[x].lower ? 'end' : 'start', data: sorted, symbol: 'none', silent: true, lineStyle: { color: colours.front, width: 1.2, opacity: 0.6 }, z: 3 }
}

type Cross = [number, number, number, number, number, number] // x, y, and the ends in x and in y

function cross(front: Front, i: number, x: number, y: number): Cross {
  const [a, b] = [front.points.values[x][i] ?? 0, front.points.values[y][i] ?? 0]
  const [da, db] = [front.points.errors[x][i] ?? 0, front.points.errors[y][i] ?? 0]
  return [a, b, a - da, a + da, b - db, b + db]
}

function whiskers(id: string, crosses: Cross[], colour: string, opacity: number): Option {
  interface Api { value(k: number): number; coord(of: number[]): number[] }
  return {
    id, type: 'custom', silent: true, data: crosses, z: 3, clip: true,
    renderItem: (_: unknown, api: Api) => {
      const [x, y] = [api.value(0), api.value(1)]
      const line = (a: number[], b: number[]) => ({ type: 'line', shape: { x1: a[0], y1: a[1], x2: b[0], y2: b[1] }, style: { stroke: colour, opacity, lineWidth: 1.5 } })
      return { type: 'group', children: [line(api.coord([api.value(2), y]), api.coord([api.value(3), y])), line(api.coord([x, api.value(4)]), api.coord([x, api.value(5)]))] }
    },
  }
}

// Where a winner stands on held-out items, with 95 % intervals, and from where on search items it came.
function winners(front: Front, of: (number: number) => number[], x: number, y: number, colours: Palette): Option[] {
  const held = front.winners.filter((w) => w.objectives[x]?.value !== null && w.objectives[y]?.value !== null)
  const colour = (wins: boolean) => (wins ? colours.winner : colours.knee)
  const place = (w: (typeof held)[number]) => [w.objectives[x].value!, w.objectives[y].value!]
  return held.length === 0 ? [] : [
    ...held.map((w, k): Option => whiskers(`held-${k}`, [[place(w)[0], place(w)[1], w.objectives[x].low!, w.objectives[x].high!, w.objectives[y].low!, w.objectives[y].high!]], colour(w.wins), 0.9)),
    ...held.flatMap((w, k): Option[] => of(w.number).map((i) => ({ id: `curse-${k}`, type: 'line', silent: true, symbol: 'none', data: [[front.points.values[x][i], front.points.values[y][i]], place(w)], lineStyle: { color: colour(w.wins), width: 1, type: 'dashed' }, z: 6 }))),
    { id: 'held', type: 'scatter', symbolSize: 20, symbol: 'path://M10 0l3 6.6 7 .8-5.2 4.8 1.5 7L10 15.6 3.7 19.2l1.5-7L0 7.4l7-.8z', z: 7, cursor: 'pointer',
      data: held.map((w) => ({ value: [...place(w), w.number], itemStyle: { color: colour(w.wins), borderColor: colours.paper, borderWidth: 1.5 } })) },
  ]
}

function predicted(front: Front, x: number, y: number, colours: Palette): Option[] {
  const found = front.predicted!
  const [kx, ky] = [found.objectives.indexOf(x), found.objectives.indexOf(y)]
  if (kx < 0 || ky < 0) return []
  const data = found.points.map((p) => [p[kx][0], p[ky][0]])
  return [{ id: 'predicted', type: 'scatter', silent: true, symbol: 'triangle', symbolSize: 7, data, itemStyle: { color: 'transparent', borderColor: colours.teal, borderWidth: 1.2 }, z: 3 }]
}
