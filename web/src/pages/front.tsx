import { useMemo, useRef, useState } from 'preact/hooks'
import type { Front } from '../data'
import { Card } from '../parts/card'
import { Chart, type Drawing, palette } from '../parts/chart'
import { useLatest } from '../parts/fetched'
import { Later } from '../parts/later'
import { picked, selection, source, theme } from '../state'
import { measured, num, titled } from '../words'
import { Matrix } from './matrix'
import { Parallel } from './parallel'
import { nameOf, scatter } from './scatter'

export function FrontPage() {
  const front = useLatest((key) => source.document<Front>(key, 'front'))
  if (!front) return <p class="quiet">Reading the front…</p>
  if (!front.points.number.length) return <p class="empty">Nothing is scored yet. This page fills while the search runs.</p>
  return <Shown front={front} />
}

function Shown({ front }: { front: Front }) {
  const m = front.objectives.length
  const [x, setX] = useState(0)
  const [y, setY] = useState(m > 1 ? 1 : 0)
  const [zoom, setZoom] = useState(false)
  const [errors, setErrors] = useState(front.points.front.filter(Boolean).length <= 40)
  const [predicted, setPredicted] = useState(true)
  const [brushing, setBrushing] = useState(false)
  const drawing = useRef<Drawing | null>(null)
  const latest = useRef({ front, x, y })
  latest.current = { front, x: Math.min(x, m - 1), y: Math.min(y, m - 1) }
  const narrow = innerWidth < 640
  const view = { x: latest.current.x, y: latest.current.y, zoom, errors, predicted }
  const option = useMemo(() => m > 1
    ? scatter(front, view, { selection: selection.value, picked: picked.value }, palette(), narrow)
    : scatter(single(front), { ...view, x: 0, y: 1 }, { selection: selection.value, picked: picked.value }, palette(), narrow),
  [front, x, y, zoom, errors, predicted, selection.value, picked.value, theme.value, narrow])
  const members = useMemo(() => ordered(front), [front])
  const table = useMemo(() => <Members front={front} members={members} />, [front, members, picked.value])
  const best = front.picks.candidates.winner ?? front.picks.candidates.knee ?? front.picks.candidates.best ?? members[0]
  const shown = picked.value ?? best

  const ready = (made: Drawing) => {
    drawing.current = made
    made.on('click', (event: unknown) => { const v = (event as { value?: number[] }).value; if (v && v.length > 2) picked.value = v[2] })
    made.on('brushEnd', (event: unknown) => {
      const area = (event as { areas: { coordRange: [[number, number], [number, number]] }[] }).areas[0]
      const { front: now, x: kx, y: ky } = latest.current
      if (!area?.coordRange) { selection.value = null; return }
      const [[x0, x1], [y0, y1]] = area.coordRange
      const columns = now.objectives.length > 1 ? [now.points.values[kx], now.points.values[ky]] : [now.points.number, now.points.values[0]]
      const found = now.points.number.filter((_, i) => { const [a, b] = [columns[0][i]!, columns[1][i]!]; return a >= x0 && a <= x1 && b >= y0 && b <= y1 })
      selection.value = found.length ? new Set(found) : null
      made.dispatchAction({ type: 'brush', areas: [] })
    })
  }
  const brush = (on: boolean) => {
    setBrushing(on)
    drawing.current?.dispatchAction({ type: 'takeGlobalCursor', key: 'brush', brushOption: { brushType: on ? 'rect' : false, brushMode: 'single' } })
  }
  const keys = (event: KeyboardEvent) => {
    const at = members.indexOf(shown)
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
    if (step) { picked.value = members[(at + step + members.length) % members.length]; event.preventDefault() }
    if (event.key === 'Escape') { selection.value = null; picked.value = null }
  }
  return (
    <div class="front">
      <section class="panel">
        <div class="tools">
          {m > 1 && <label>across <Objectives front={front} value={view.x} choose={setX} /></label>}
          {m > 1 && <label>up <Objectives front={front} value={view.y} choose={setY} /></label>}
          <button aria-pressed={zoom} onClick={() => setZoom(!zoom)}>Zoom to the front</button>
          <button aria-pressed={brushing} onClick={() => brush(!brushing)}>Select an area</button>
          <label class="check"><input type="checkbox" checked={errors} onChange={() => setErrors(!errors)} /> errors</label>
          {front.predicted && <label class="check"><input type="checkbox" checked={predicted} onChange={() => setPredicted(!predicted)} /> predicted front</label>}
          {selection.value && <button class="clear" onClick={() => (selection.value = null)}>{selection.value.size} selected ×</button>}
        </div>
        <Chart option={option} height={narrow ? 340 : 480} ready={ready} keys={keys}
          label={`Scatter of ${front.scored} candidates, ${members.length} on the front; arrow keys go along the front, the candidate's numbers stand beside it`} />
        <Legend front={front} />
        {front.scored > front.points.number.length && <p class="quiet">{front.points.number.length} of {front.scored} are drawn, the front whole.</p>}
      </section>
      {shown !== undefined && <Card number={shown} close={picked.value === null ? undefined : () => (picked.value = null)} />}
      {m > 1 && <section class="panel wide"><h2>Every objective at once</h2>
        <p class="quiet">A line is a candidate. Drag along an axis to keep those that pass there; what is kept is selected on every page.</p>
        <Later height={narrow ? 300 : 340}><Parallel front={front} /></Later></section>}
      {m > 2 && m < 7 && <section class="panel wide"><h2>All pairs</h2><Later height={400}><Matrix front={front} /></Later></section>}
      <section class="panel wide"><h2>Members of the front</h2>{table}</section>
    </div>
  )
}

function Objectives({ front, value, choose }: { front: Front; value: number; choose: (k: number) => void }) {
  return <select value={value} onChange={(e) => choose(Number(e.currentTarget.value))}>{front.objectives.map((o, k) => <option value={k} key={o.name}>{titled(o)}</option>)}</select>
}

function Legend({ front }: { front: Front }) {
  const winner = front.winners.some((w) => w.wins)
  return (
    <ul class="legend">
      {front.estimated && <li>scores are {front.estimated}: not every candidate answered all items</li>}
      <li><i class="dot front" /> on the front</li><li><i class="dot rest" /> other merges</li><li><i class="diamond full" /> parent</li>
      {front.named.some((n) => n.kind !== 'parent') && <li><i class="diamond" /> recipe by hand</li>}
      {(front.picks.candidates.knee ?? front.picks.candidates.best) !== undefined && <li><i class="ring" /> {front.picks.candidates.knee === undefined ? 'best' : 'knee'}, by {front.picks.by} items</li>}
      {front.winners.length > 0 && <li><i class={`star ${winner ? 'won' : ''}`}>★</i> {winner ? 'verified winner' : 'picked'} on {front.winners[0].split} items, 95 %; dashed: from its search score</li>}
      {front.predicted && <li><i class="triangle">△</i> predicted</li>}
    </ul>
  )
}

function Members({ front, members }: { front: Front; members: number[] }) {
  const at = new Map(front.points.number.map((n, i) => [n, i]))
  const marks = Object.entries(front.picks.candidates)
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Members of the front">
      <table class="grid">
        <thead><tr><th scope="col">candidate</th>{front.objectives.map((o) => <th scope="col" key={o.name}>{titled(o)}</th>)}<th scope="col">mean</th><th scope="col">expected</th></tr></thead>
        <tbody>{members.slice(0, 200).map((n) => {
          const i = at.get(n)!
          return (
            <tr key={n} class={picked.value === n ? 'picked' : ''}>
              <th scope="row"><button class="linkish" onClick={() => { picked.value = n; scrollTo({ top: 0, behavior: 'smooth' }) }}>{nameOf(front, n)}</button>{marks.filter(([, of]) => of === n).map(([p]) => <span class="mark knee" key={p}>{p}</span>)}</th>
              {front.objectives.map((o, k) => <td key={o.name}>{measured({ value: front.points.values[k][i], stderr: front.points.errors[k][i], low: null, high: null, items: 0, kind: '' }, o)}</td>)}
              <td>{num(front.points.mean[i])}</td><td>{num(front.points.expected[i])}</td>
            </tr>
          )
        })}</tbody>
      </table>
    </div>
  )
}

function ordered(front: Front): number[] {
  const first = front.points.values[0] ?? []
  const sign = front.objectives[0]?.lower ? 1 : -1
  return front.points.number.map((n, i) => ({ n, i })).filter(({ i }) => front.points.front[i]).sort((a, b) => sign * ((first[a.i] ?? 0) - (first[b.i] ?? 0))).map(({ n }) => n)
}

// One objective is shown against the candidates' numbers.
function single(front: Front): Front {
  const number = { name: 'candidate', unit: '', better: '', lower: false, decimals: 0, counts: true, weight: 0 }
  const at = (n: number) => ({ value: n, stderr: null, low: n, high: n, items: 0, kind: '' })
  return {
    ...front, objectives: [number, ...front.objectives, number].slice(0, 3), winners: front.winners.map((w) => ({ ...w, objectives: [at(w.number), ...w.objectives] })),
    points: { ...front.points, values: [front.points.number, ...front.points.values, []], errors: [front.points.number.map(() => 0), ...front.points.errors, []] },
  }
}
