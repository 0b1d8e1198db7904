import { useState } from 'preact/hooks'
import type { Compared, ComparedSplit, Comparison, Detail } from '../data'
import { Depth } from '../parts/depth'
import { useFetched } from '../parts/fetched'
import { address, link, overview, run, runs, source } from '../state'
import { num, signed } from '../words'
import { scaleOf, Whisker } from '../parts/whisker'

export function ComparePage() {
  const head = overview.value
  if (!head) return <p class="quiet">Reading…</p>
  const picks = head.picks.candidates
  const first = picks.winner ?? picks.knee ?? picks.best ?? 0
  const parent = head.best_parent === null || head.best_parent === first ? 0 : head.best_parent
  const a = address.value.a || `${run.value}:${first}`
  const b = address.value.b || `${run.value}:${parent}`
  return (
    <div class="compare">
      <section class="panel sides">
        <Side name="A" of={a} choose={(to) => (location.hash = link({ page: 'compare', a: to, b }))} />
        <span class="against">against</span>
        <Side name="B" of={b} choose={(to) => (location.hash = link({ page: 'compare', a, b: to }))} />
        <button onClick={() => (location.hash = link({ page: 'compare', a: b, b: a }))}>⇄ Swap</button>
      </section>
      <Pair a={a} b={b} />
    </div>
  )
}

function Side({ name, of, choose }: { name: string; of: string; choose: (to: string) => void }) {
  const [key, number] = [of.slice(0, of.lastIndexOf(':')), of.slice(of.lastIndexOf(':') + 1)]
  const labels = key === run.value ? overview.value?.labels ?? {} : {}
  const picks = key === run.value ? Object.entries(overview.value?.picks.candidates ?? {}) : []
  return (
    <fieldset class={`side ${name}`}><legend>{name}</legend>
      {(runs.value?.length ?? 0) > 1 && <label>run <select value={key} onChange={(e) => choose(`${e.currentTarget.value}:0`)}>{runs.value!.map((r) => <option key={r.key} value={r.key}>{r.name}</option>)}</select></label>}
      <label>candidate <input type="number" min={0} value={number} onChange={(e) => { if (e.currentTarget.value !== '') choose(`${key}:${e.currentTarget.value}`) }} /></label>
      <select aria-label={`${name}: by name`} value={number} onChange={(e) => choose(`${key}:${e.currentTarget.value}`)}>
        <option value={number}>{labels[number] ?? `candidate ${number}`}</option>
        {picks.length > 0 && <optgroup label="picks">{picks.map(([pick, n]) => <option key={pick} value={n}>{pick} ({labels[n] ?? n})</option>)}</optgroup>}
        <optgroup label="parents and recipes">{Object.entries(labels).map(([n, label]) => <option key={n} value={n}>{label}</option>)}</optgroup>
      </select>
    </fieldset>
  )
}

function Pair({ a, b }: { a: string; b: string }) {
  const found = useFetched(() => source.compare(a, b), a, b)
  const both = useFetched(() => Promise.all([a, b].map((side) => source.candidate(side.slice(0, side.lastIndexOf(':')), Number(side.slice(side.lastIndexOf(':') + 1))))), a, b)
  if (!found || !both) return <p class="quiet">Comparing…</p>
  return (
    <>
      <Scores found={found} titles={both.map((d) => d.title)} />
      <section class="panel wide"><h2>Genes over depth</h2>
        <div class="two">{both.map((d: Detail, k) => <div key={k}><h3>{k === 0 ? 'A' : 'B'}: {d.title}</h3><Depth maps={d.maps} beside={both[1 - k].maps} /></div>)}</div></section>
      <section class="panel wide"><h2>What the recipes differ in</h2>
        {found.recipe.length === 0 ? <p class="quiet">Nothing: both are the same merge.</p> : (
          <div class="scroll short" tabIndex={0} role="region" aria-label="Recipe differences"><table class="grid">
            <thead><tr><th scope="col">where</th><th scope="col" class="text">A</th><th scope="col" class="text">B</th></tr></thead>
            <tbody>{found.recipe.map((d) => <tr key={d.at}><th scope="row"><code>{d.at}</code></th><td class="text">{d.a}</td><td class="text">{d.b}</td></tr>)}</tbody></table></div>)}
      </section>
    </>
  )
}

function Scores({ found, titles }: { found: Comparison; titles: string[] }) {
  const splits = Object.keys(found.splits)
  const [chosen, choose] = useState('')
  const split = splits.includes(chosen) ? chosen : splits.includes('test') ? 'test' : splits[0]
  if (!split) return <p class="empty">These two have no items in common: their scores cannot be paired.</p>
  const of = found.splits[split]
  const rows = [...(of.mean ? [of.mean] : []), ...of.objectives]
  const held = split !== 'search'
  return (
    <>
      <section class="panel wide"><h2>Scores on the same items</h2>
        <div class="tools" role="group" aria-label="Items">{splits.map((s) => <button key={s} aria-pressed={s === split} onClick={() => choose(s)}>{s} items</button>)}</div>
        <p class="quiet">A is {titles[0]}, B is {titles[1]}. The bar is the 95 % interval of A minus B, paired by item, over {of.items} items{held ? '' : '; candidates were picked by search items, so what won there is partly luck'}.</p>
        <Paired rows={rows} />
        {of.tasks.length > 0 && <details><summary>By task</summary><Paired rows={of.tasks} /></details>}
      </section>
      <Items of={of} />
    </>
  )
}

function Paired({ rows }: { rows: Compared[] }) {
  const known = rows.flatMap((r) => (r.difference ? [r.difference.low, r.difference.high] : []))
  const scale = scaleOf(known)
  return (
    <table class="paired">
      <thead><tr><th scope="col" /><th scope="col">A</th><th scope="col">B</th><th scope="col">A − B</th><th scope="col" class="bars"><span>B better</span><span>A better</span></th></tr></thead>
      <tbody>{rows.map((row) => (
        <tr key={row.name} class={row.name === 'mean' ? 'sum' : ''}>
          <th scope="row">{row.name}</th><td>{num(row.a)}</td><td>{num(row.b)}</td>
          <td>{signed(row.difference?.value)} <small>{row.difference && `${signed(row.difference.low)} to ${signed(row.difference.high)}`}</small></td>
          <td class="bars">{row.difference && <Whisker {...row.difference} scale={scale} lower={row.lower} label={`${row.name}: ${signed(row.difference.value)}`} />}</td>
        </tr>))}</tbody>
    </table>
  )
}

function Items({ of }: { of: ComparedSplit }) {
  const [show, setShow] = useState<'lost' | 'won'>(of.lost ? 'lost' : 'won')
  const listed = of.listed.filter((one) => one.won === (show === 'won'))
  const has = (key: 'question' | 'gold' | 'answer_a' | 'answer_b') => listed.some((one) => one[key])
  return (
    <section class="panel wide"><h2>Items won and lost</h2>
      <div class="won-lost" role="img" aria-label={`A wins ${of.won} items, loses ${of.lost}, ${of.items - of.won - of.lost} are alike`}>
        <span class="won" style={{ flexGrow: of.won }} /><span class="same" style={{ flexGrow: of.items - of.won - of.lost }} /><span class="lost" style={{ flexGrow: of.lost }} />
      </div>
      <div class="tools" role="group" aria-label="Which items"><button aria-pressed={show === 'lost'} onClick={() => setShow('lost')}>{of.lost} lost by A</button><button aria-pressed={show === 'won'} onClick={() => setShow('won')}>{of.won} won by A</button></div>
      <div class="scroll short" tabIndex={0} role="region" aria-label="Items"><table class="grid items">
        <thead><tr><th scope="col">item</th>{has('question') && <th scope="col" class="text">question</th>}{has('gold') && <th scope="col" class="text">right answer</th>}{has('answer_a') && <th scope="col" class="text">A answers</th>}{has('answer_b') && <th scope="col" class="text">B answers</th>}<th scope="col">A</th><th scope="col">B</th></tr></thead>
        <tbody>{listed.map((one) => <tr key={one.item}><th scope="row">{one.item}</th>{has('question') && <td class="text question">{one.question}</td>}{has('gold') && <td class="text question">{one.gold}</td>}{has('answer_a') && <td class="text question">{one.answer_a}</td>}{has('answer_b') && <td class="text question">{one.answer_b}</td>}<td>{num(one.a, 2)}</td><td>{num(one.b, 2)}</td></tr>)}</tbody>
      </table></div>
      {!has('answer_a') && listed.length > 0 && <p class="quiet">Questions and answers stay in the run directory: <code>evomerge studio</code> and <code>evomerge answers</code> show those of the front, the landmarks and whoever is verified.</p>}
      {of.won + of.lost > of.listed.length && <p class="quiet">The {of.listed.length} largest differences are listed.</p>}
    </section>
  )
}
