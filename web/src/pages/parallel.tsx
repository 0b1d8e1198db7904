// Parallel coordinates: a line per candidate over all objectives and the mean.
import { useMemo, useRef } from 'preact/hooks'
import type { Front } from '../data'
import { Chart, type Drawing, type Option, palette } from '../parts/chart'
import { picked, selection, theme } from '../state'
import { short, titled } from '../words'

const MOST = 1500 // lines beside the front

export function Parallel({ front }: { front: Front }) {
  const kept = useRef<Map<number, [number, number][]>>(new Map())
  const latest = useRef(front)
  latest.current = front
  const narrow = innerWidth < 640
  const option = useMemo(() => parallel(front, narrow), [front, selection.value, picked.value, theme.value, narrow])
  const ready = (made: Drawing) => {
    made.on('axisareaselected', (event: unknown) => {
      const { parallelAxisId, intervals } = event as { parallelAxisId: string; intervals: [number, number][] }
      const dim = Number(String(parallelAxisId).replace(/\D+/g, ''))
      if (intervals.length) kept.current.set(dim, intervals)
      else kept.current.delete(dim)
      selection.value = chosen(latest.current, kept.current)
    })
    made.on('click', (event: unknown) => { const v = (event as { value?: number[] }).value; if (v) picked.value = v[v.length - 1] })
  }
  return <Chart patient option={option} ready={ready} height={narrow ? 300 : 340}
    label={`Parallel coordinates of ${front.objectives.map((o) => o.name).join(', ')} and the mean; the members of the front are in the table below`} />
}

function columns(front: Front): (number | null)[][] {
  return [...front.points.values, front.points.mean]
}

function chosen(front: Front, kept: Map<number, [number, number][]>): Set<number> | null {
  if (!kept.size) return null
  const values = columns(front)
  return new Set(front.points.number.filter((_, i) => [...kept].every(([dim, intervals]) => {
    const v = values[dim]?.[i]
    return v !== null && v !== undefined && intervals.some(([low, high]) => v >= low && v <= high)
  })))
}

function parallel(front: Front, narrow: boolean): Option {
  const colours = palette()
  const values = columns(front)
  const named = new Map(front.named.map((n) => [n.number, n]))
  const indices = front.points.number.map((_, i) => i)
  const inside = (i: number) => !selection.value || selection.value.has(front.points.number[i])
  const line = (i: number) => [...values.map((column) => column[i]), front.points.number[i]]
  const rest = indices.filter((i) => !front.points.front[i] && !named.has(front.points.number[i]))
  const every = Math.max(1, Math.ceil(rest.length / MOST))
  const some = rest.filter((_, k) => k % every === 0)
  const onFront = indices.filter((i) => front.points.front[i])
  const series = (id: string, of: number[], colour: string, width: number, opacity: number, more: Option = {}): Option => ({
    id, type: 'parallel', data: of.map(line), lineStyle: { color: colour, width, opacity }, smooth: 0.05, progressive: 500,
    emphasis: { lineStyle: { width: width + 1.5, opacity: 1 } }, inactiveOpacity: opacity, activeOpacity: opacity, ...more,
  })
  const names = [...front.objectives.map(titled), 'mean']
  return {
    animation: false, textStyle: { fontFamily: colours.sans },
    parallel: { left: narrow ? 34 : 70, right: narrow ? 34 : 70, top: 44, bottom: 24, parallelAxisDefault: {
      nameTextStyle: { color: colours.ink, fontSize: 12 }, nameGap: 16, axisLabel: { color: colours.muted, fontSize: 11 }, axisLine: { lineStyle: { color: colours.muted } },
      axisTick: { show: false }, areaSelectStyle: { width: 18, color: colours.front, opacity: 0.25, borderColor: colours.front } } },
    parallelAxis: names.map((name, dim) => ({ id: `axis${dim}`, dim, name: short(name, narrow ? 14 : 26), scale: true, inverse: dim < front.objectives.length && front.objectives[dim].lower })),
    series: [
      series('out', some.filter((i) => !inside(i)), colours.dominated, 1, 0.05, { silent: true }),
      series('rest', some.filter(inside), colours.dominated, 1, selection.value ? 0.6 : Math.min(0.35, 60 / (some.length + 1))),
      series('front-out', onFront.filter((i) => !inside(i)), colours.front, 1, 0.12, { silent: true }),
      series('front', onFront.filter(inside), colours.front, 1.8, 0.85, { z: 4 }),
      series('parents', indices.filter((i) => named.get(front.points.number[i])?.kind === 'parent'), colours.ink, 1.6, 0.8, { lineStyle: { color: colours.ink, width: 1.6, opacity: 0.8, type: 'dashed' }, z: 5 }),
      series('picked', indices.filter((i) => front.points.number[i] === (picked.value ?? front.picks.candidates.winner ?? front.picks.candidates.knee)), colours.knee, 3.2, 1, { z: 6 }),
    ],
  }
}
