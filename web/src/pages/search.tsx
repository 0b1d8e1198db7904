import { useMemo, useState } from 'preact/hooks'
import type { Curve, Search } from '../data'
import { axis, Chart, type Option, palette, tip, told } from '../parts/chart'
import { useLatest } from '../parts/fetched'
import { overview, picked, source, theme } from '../state'
import { duration, num, short, signed } from '../words'

type By = 'evaluations' | 'time' | 'computing'

export function SearchPage() {
  const found = useLatest((key) => source.document<Search>(key, 'search'))
  const [by, setBy] = useState<By>('evaluations')
  if (!found || !overview.value) return <p class="quiet">Reading the search…</p>
  if (!found.curves.length && !found.failures.length) return <p class="empty">Nothing is scored yet. This page fills while the search runs.</p>
  return (
    <div class="search">
      {found.bought && <Bought of={found.bought} />}
      <section class="panel wide">
        <h2>How far it came</h2>
        <div class="tools" role="group" aria-label="Over what">{(['evaluations', 'time', 'computing'] as const).map((one) => <button key={one} aria-pressed={by === one} onClick={() => setBy(one)}>over {one === 'computing' ? found.computed.unit : one}</button>)}</div>
        <p class="quiet">The best of many noisy scores is partly luck: the Verdict page says how much of it holds on new items. Dashed: the best parent.</p>
        <div class="curves">{found.curves.map((curve) => <Course key={curve.name} curve={curve} found={found} by={by} />)}</div>
      </section>
      <Importances found={found} />
      <Timeline found={found} />
      <Failures found={found} />
      <section class="panel wide"><h2>Campaign</h2><details><summary>The campaign as it was searched, and versions</summary><pre tabIndex={0}>{found.campaign}</pre><p class="quiet">{Object.entries(found.versions).map(([program, version]) => `${program} ${version}`).join(' · ')}</p></details></section>
    </div>
  )
}

function Bought({ of }: { of: NonNullable<Search['bought']> }) {
  const rows = [of.parent && { ...of.parent, what: 'best parent' }, of.recipe && { ...of.recipe, what: 'best recipe by hand' }, { ...of.best, what: 'best of the search, expected' }].filter((r) => r !== null)
  const most = Math.max(...rows.map((r) => r.mean), of.best.observed, 1e-9)
  const gain = of.recipe ? of.best.mean - of.recipe.mean : null
  const free = of.recipe && of.recipe.number === of.best.number
  return (
    <section class="panel wide"><h2>What the search bought</h2>
      <p>{free ? `The best candidate is ${of.recipe!.name}, which costs no search: nothing that was searched is ahead of it in the mean.` : gain === null ? 'There is no recipe by hand to compare with.' : `${signed(gain)} in the mean over ${of.recipe!.name}, the best recipe by hand, on search items; ± ${num(of.best.stderr)}.`}</p>
      <table class="bars-table"><tbody>{rows.map((r) => (
        <tr key={r.what}><th scope="row">{r.what} <small>{r.name}</small></th><td class="track"><div><span class={r.what.startsWith('best of') ? 'fill front' : 'fill'} style={{ width: `${Math.max(0, (100 * r.mean) / most)}%` }} /></div></td><td>{num(r.mean)}</td></tr>))}</tbody></table>
    </section>
  )
}

function Course({ curve, found, by }: { curve: Curve; found: Search; by: By }) {
  const option = useMemo(() => course(curve, found, by), [curve, found, by, theme.value])
  const last = curve.values[curve.values.length - 1]
  return <figure class="curve"><figcaption>{curve.name}{curve.about && <small>{curve.about}</small>}<b>{num(last)}</b></figcaption>
    <Chart option={option} height={190} label={`${curve.name} over ${by}: ${num(curve.values[0])} at first, ${num(last)} at last`}
      ready={(made) => made.on('click', (e: unknown) => { const v = (e as { value?: number[] }).value; if (v && v.length > 2) picked.value = v[2] })} /></figure>
}

function course(curve: Curve, found: Search, by: By): Option {
  const colours = palette()
  const total = by === 'computing' ? (found.computed.hours[found.computed.hours.length - 1] ?? 0) : found.hours
  const unit = by === 'computing' && found.computed.unit === 'GPU-hours' ? 1 : total < 0.05 ? 3600 : total < 3 ? 60 : 1
  const across = (evaluation: number, hours: number | null) => by === 'evaluations' ? evaluation : (by === 'time' ? (hours ?? 0) : computed(found, evaluation)) * unit
  const xs = curve.evaluation.map((e, k) => across(e, curve.hours[k]))
  const data = curve.values.map((v, k) => [xs[k], v, curve.candidate[k]])
  const cloud = curve.name !== 'best mean' ? [] : found.points.number.map((n, k) => [across(found.points.evaluation[k], found.points.hours[k]), found.points.mean[k], n])
  const reference = curve.reference === null ? {} : { markLine: { silent: true, symbol: 'none', animation: false, lineStyle: { color: colours.ink, type: 'dashed', width: 1 }, label: { show: false }, data: [{ yAxis: curve.reference }] } }
  const values = [...data.map((d) => d[1]), ...cloud.map((d) => d[1]), curve.reference].filter((v): v is number => typeof v === 'number')
  const low = Math.min(...values), high = Math.max(...values), margin = 0.06 * (high - low) || 0.05
  const name = by === 'evaluations' ? 'evaluations' : by === 'computing' && unit === 1 ? found.computed.unit : { 3600: 'seconds', 60: 'minutes', 1: 'hours' }[unit]! + (by === 'time' ? ' of search' : ' of workers')
  return {
    animation: false, textStyle: { fontFamily: colours.sans }, grid: { left: 46, right: 14, top: 10, bottom: 40 },
    xAxis: axis(colours, name, { scale: false, min: 0, max: xs[xs.length - 1], nameGap: 24 }), yAxis: axis(colours, '', { min: Number((low - margin).toFixed(4)), max: Number((high + margin).toFixed(4)), splitNumber: 4, axisLabel: { color: colours.muted, fontSize: 11, showMinLabel: false, showMaxLabel: false } }),
    tooltip: { ...tip(colours), formatter: (p: { value: number[] }) => told(overview.value?.labels[p.value[2]] ?? `candidate ${p.value[2]}`, [[curve.name, num(p.value[1])], [name, num(p.value[0], by === 'evaluations' ? 0 : 1)]]) },
    series: [
      { type: 'scatter', data: cloud, symbolSize: 4, itemStyle: { color: colours.dominated, opacity: 0.5 } },
      { type: 'line', step: 'end', data, symbol: 'circle', symbolSize: 5, lineStyle: { color: colours.front, width: 2 }, itemStyle: { color: colours.front }, ...reference },
    ],
  }
}

// Hours that workers had spent in all when an evaluation was done.
function computed({ computed: { evaluation, hours } }: Search, upto: number): number {
  let [low, high] = [0, evaluation.length - 1]
  while (low < high) { const middle = (low + high) >> 1; if (evaluation[middle] < upto) low = middle + 1; else high = middle }
  return hours[low] ?? 0
}

function Importances({ found }: { found: Search }) {
  const { genes, candidates, needed, objectives } = found.importances
  const shown = genes.filter((g) => Math.max(...g.shares) > 0.02).slice(0, 20)
  return (
    <section class="panel wide"><h2>Which genes mattered</h2>
      {candidates < needed ? <p class="quiet">Too few candidates to tell: {candidates} of at least {needed} that an optimiser proposed.</p> : shown.length === 0
        ? <p class="quiet">No gene alone accounts for more than chance among {candidates} candidates.</p> : (
        <>
          <p class="quiet">Share of the variance that each gene alone accounts for, chance taken off, over {candidates} candidates: where the search went, not the whole space.</p>
          <div class="scroll" tabIndex={0} role="region" aria-label="Gene importances"><table class="importances">
            <thead><tr><th scope="col">gene</th>{['mean', ...objectives].map((o) => <th scope="col" key={o}>{o}</th>)}</tr></thead>
            <tbody>{shown.map((g) => <tr key={g.name}><th scope="row" title={g.name}>{short(g.name, 48)}</th>{g.shares.map((s, k) => <td key={k} class="share"><span style={{ width: `${100 * s}%` }} /><b>{s >= 0.005 ? `${Math.round(100 * s)} %` : '–'}</b></td>)}</tr>)}</tbody>
          </table></div>
        </>)}
    </section>
  )
}

function Timeline({ found }: { found: Search }) {
  const { timeline } = found
  const option = useMemo(() => lanes(found), [found, theme.value])
  if (!timeline.bars.length) return null
  return (
    <section class="panel wide"><h2>Who worked when</h2>
      <p>{timeline.lanes} worker{timeline.lanes > 1 ? 's' : ''}, busy {timeline.utilisation === null ? '–' : `${Math.round(100 * timeline.utilisation)} %`} of the time; a candidate takes {duration(timeline.median)} (median), all of them together {duration(timeline.busy)}.</p>
      {found.items?.says && <p>{found.items.answered} items were answered; every candidate on all of them would have been {num(found.items.saving, 1)} times as many.</p>}
      {found.stops.length > 0 && <p>Stopped early: {found.stops.map((s) => `${s.count} ${s.reason} (after ${s.items} items)`).join(', ')}.</p>}
      <Chart option={option} height={Math.min(420, 70 + 22 * timeline.lanes)} label={`Timeline of ${timeline.bars.length} candidates in ${timeline.lanes} lanes`} />
      {timeline.left_out > 0 && <p class="quiet">The newest {timeline.bars.length} are drawn, {timeline.left_out} older ones are not.</p>}
    </section>
  )
}

function lanes(found: Search): Option {
  const colours = palette()
  const { bars } = found.timeline
  const end = Math.max(...bars.map((b) => b[2]), 1)
  const unit = end < 300 ? 1 : end < 10800 ? 60 : 3600
  interface Api { value(k: number): number; coord(of: number[]): number[]; size(of: number[]): number[] }
  return {
    animation: false, textStyle: { fontFamily: colours.sans }, grid: { left: found.timeline.names.some((n) => n.length > 4) ? 150 : 46, right: 14, top: 6, bottom: 40 },
    xAxis: axis(colours, { 1: 'seconds', 60: 'minutes', 3600: 'hours' }[unit]!, { min: 0, max: end / unit, nameGap: 24, axisLabel: { color: colours.muted, fontSize: 11, showMaxLabel: false } }),
    yAxis: { type: 'category', data: found.timeline.names.map((name, k) => ({ value: `${k} ${name}` })), axisLabel: { color: colours.muted, width: 136, overflow: 'truncate', formatter: (value: string) => value.slice(value.indexOf(' ') + 1) }, axisLine: { show: false }, axisTick: { show: false } },
    tooltip: { ...tip(colours), formatter: (p: { value: number[] }) => told(overview.value?.labels[p.value[3]] ?? `candidate ${p.value[3]}`, [['took', duration((p.value[2] - p.value[1]) * unit)], ['outcome', p.value[4] ? 'failed' : 'scored']]) },
    series: [{ type: 'custom', data: bars.map(([lane, a, b, n, f]) => [lane, a / unit, b / unit, n, f]), encode: { x: [1, 2], y: 0 },
      renderItem: (_: unknown, api: Api) => {
        const [a, b] = [api.coord([api.value(1), api.value(0)]), api.coord([api.value(2), api.value(0)])]
        const height = Math.min(16, api.size([0, 1])[1] * 0.7)
        return { type: 'rect', shape: { x: a[0], y: a[1] - height / 2, width: Math.max(1, b[0] - a[0] - 0.6), height }, style: { fill: api.value(4) ? colours.bad : colours.front, opacity: 0.75 } }
      } }],
  }
}

function Failures({ found }: { found: Search }) {
  if (!found.failures.length) return null
  return (
    <section class="panel wide"><h2>Failures</h2>{found.failures.map((group) => (
      <details class="failure" key={group.stage + group.reason}><summary><b>{group.count}</b> failed at {group.stage}: {group.reason}</summary>
        <p class="quiet">candidates {group.candidates.join(', ')}{group.count > group.candidates.length && ', …'}</p><pre tabIndex={0}>{group.traceback || 'no traceback'}</pre></details>))}
    </section>
  )
}
