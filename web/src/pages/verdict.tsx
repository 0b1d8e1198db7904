import type { Verdict, VerdictRow, VerdictWinner } from '../data'
import { Copied } from '../parts/card'
import { useLatest } from '../parts/fetched'
import { scaleOf, Whisker, type Scale } from '../parts/whisker'
import { link, overview, run, source } from '../state'
import { interval, measured, num, quoted, signed, titled } from '../words'

export function VerdictPage() {
  const found = useLatest((key) => source.document<Verdict>(key, 'verdict'))
  const head = overview.value
  if (!found || !head) return <p class="quiet">Reading the verdict…</p>
  if (!found.verified) {
    return (
      <section class="panel wide verdict"><h2>Not verified yet</h2>
        <p>Search items chose the candidates, so their scores there are partly luck. Only items that nobody has looked at tell how good a merge is.</p>
        <Copied label="Verify" text={`evomerge verify ${quoted(head.directory)}`} /></section>
    )
  }
  const labels = head.labels
  const title = (n: number) => labels[n] ?? `candidate ${n}`
  return (
    <div class="verdict">
      <section class="panel wide"><h2>On {found.split} items that the search never saw</h2>
        <p class="quiet">Each bar is the 95 % interval of the difference to {found.best_parent}, the best parent, in the mean of the objectives, paired by item. Right of the line is better. The candidates were chosen by {found.chosen_on} items{found.number > 1 && `; this is verification ${found.number}, each makes later claims stricter`}.{found.told !== null && found.now > found.told && ` The search went on since: ${found.now - found.told} candidates are newer than this verdict.`}</p>
        <Forest found={found} />
        {found.gap && <p class="quiet">{found.gap}</p>}
      </section>
      {found.winners.map((winner) => <Winner key={winner.candidate} winner={winner} found={found} title={title(winner.candidate)} />)}
      {found.dropped.length > 0 && <section class="panel wide"><h2>Not offered</h2><ul>{found.dropped.map((d) => <li key={d.pick}><b>{d.pick}</b> ({title(d.candidate)}): {d.why}</li>)}</ul></section>}
      {found.final && <section class="panel wide"><h2>Final items</h2>{found.final.lines.map((line) => <p key={line}>{line}</p>)}</section>}
    </div>
  )
}

function Forest({ found }: { found: Verdict }) {
  const scale = scaleOf(found.rows.flatMap((r) => (r.difference ? [r.difference.low, r.difference.high] : [])))
  const groups: [string, VerdictRow[]][] = [['parents', found.rows.filter((r) => r.kind === 'parent')], ['recipes by hand', found.rows.filter((r) => r.kind === 'baseline')], ['picked by the search', found.rows.filter((r) => r.kind === 'winner')]]
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Held-out table"><table class="forest">
      <thead><tr><th scope="col">model</th>{found.objectives.map((o) => <th scope="col" class="each" key={o.name}>{titled(o)}</th>)}<th scope="col">mean</th><th scope="col" class="bars"><Ticks scale={scale} /></th><th scope="col" class="each">difference</th></tr></thead>
      {groups.filter(([, rows]) => rows.length).map(([name, rows]) => (
        <tbody key={name}><tr class="group"><th scope="rowgroup" colSpan={found.objectives.length + 4}>{name}</th></tr>
          {rows.map((row) => (
            <tr key={`${row.kind}${row.candidate}`} class={row.kind}>
              <th scope="row"><a href={link({ page: 'compare', a: `${run.value}:${row.candidate}`, b: `${run.value}:${found.rows.find((r) => r.name === found.best_parent)?.candidate ?? 0}` })}>{row.name}</a>
                {row.role && row.role !== 'parent' && row.role !== 'baseline' && <span class={`mark ${found.winners.find((w) => w.candidate === row.candidate)?.wins ? 'won' : 'chosen'}`}>{row.role}</span>}{row.picks && <small>{row.picks}</small>}</th>
              {row.objectives.map((o, k) => <td class="each" key={k}>{measured(o, found.objectives[k])}</td>)}
              <td><b>{num(row.mean)}</b></td>
              <td class="bars">{row.difference ? <Whisker {...row.difference} scale={scale} label={`${row.name}: ${interval(row.difference)}`} /> : <span class="reference">the best parent</span>}</td>
              <td class="each">{row.difference ? <>{signed(row.difference.value)} <small>{signed(row.difference.low)} to {signed(row.difference.high)}</small></> : ''}</td>
            </tr>))}
        </tbody>))}
    </table></div>
  )
}

function Ticks({ scale }: { scale: Scale }) {
  const span = scale.high - scale.low
  const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 50, 100].find((s) => span / s <= 5) ?? span
  const ticks = []
  for (let at = Math.ceil(scale.low / step) * step; at <= scale.high; at += step) ticks.push(Math.abs(at) < 1e-9 ? 0 : at)
  return <span class="ticks">{ticks.map((t) => <span key={t} style={{ left: `${(100 * (t - scale.low)) / span}%` }}>{t === 0 ? '0' : signed(t, step < 0.1 ? 2 : 1)}</span>)}</span>
}

const STANDING: Record<string, string> = { better: 'Better than every parent and every recipe by hand', better_than_parents: 'Better than every parent', trade_off: 'A true trade-off', not_shown: 'Not shown to be better' }

function Winner({ winner, found, title }: { winner: VerdictWinner; found: Verdict; title: string }) {
  const scale = scaleOf(winner.comparisons.flatMap((c) => [c.mean.low, c.mean.high]))
  const test = found.rows.find((r) => r.candidate === winner.candidate)?.mean ?? null
  return (
    <section class={`panel wide winner ${winner.wins ? 'won' : winner.standing === 'not_shown' ? 'lost' : 'traded'}`}>
      <header><h2>{title} <small>{winner.picks.join(', ')}</small></h2><span class={`mark ${winner.wins ? 'won' : 'chosen'}`}>{STANDING[winner.standing] ?? winner.standing}</span></header>
      <p>{title.charAt(0).toUpperCase() + title.slice(1)} {winner.verdict.replace(/^Candidate \d+( \([^)]*\))? /, '')}</p>
      <div class="two">
        <div><h3>Against each of them</h3>
          <table class="paired"><tbody>{winner.comparisons.map((c) => (
            <tr key={c.name}><th scope="row">{c.name} <small>{c.kind === 'parent' ? 'parent' : 'by hand'}</small></th><td>{signed(c.mean.value)}</td><td class="bars"><Whisker {...c.mean} scale={scale} label={`against ${c.name}: ${interval(c.mean)}`} /></td></tr>))}</tbody></table></div>
        <div>
          {winner.score && test !== null && <><h3>How much was luck</h3><Curse observed={winner.score.observed} expected={winner.score.expected} test={test} split={found.split} />
            {winner.gap && <p class="quiet">Expected on search items less {found.split} score (winner's curse): {interval(winner.gap)}.</p>}</>}
          {winner.flips.length > 0 && <><h3>Answers that changed, against {winner.flips_against}</h3>{winner.flips.map((f) => (
            <div class="flips" key={f.objective}><span>{f.objective}</span><span class="won-lost" role="img" aria-label={`${f.objective}: ${f.gained} gained, ${f.lost} lost of ${f.n_items}`}>
              <span class="won" style={{ flexGrow: f.gained }} /><span class="same" style={{ flexGrow: Math.max(0, f.n_items - f.gained - f.lost) }} /><span class="lost" style={{ flexGrow: f.lost }} /></span>
              <small><b class="good">{f.gained} gained</b>, <b class="bad">{f.lost} lost</b></small></div>))}</>}
        </div>
      </div>
      <details><summary>All facts in words</summary><ul>{winner.facts.map((fact) => <li key={fact}>{fact}</li>)}</ul></details>
    </section>
  )
}

function Curse({ observed, expected, test, split }: { observed: number; expected: number; test: number; split: string }) {
  const values = [observed, expected, test]
  const low = Math.min(...values), span = Math.max(Math.max(...values) - low, 0.02)
  const at = (v: number) => 10 + (80 * (v - low)) / span
  const rows: [string, number, string][] = [['seen on search items', observed, 'rest'], ['expected before the test', expected, 'front'], [`measured on ${split} items`, test, 'won']]
  return <div class="curse">{rows.map(([name, v, tone]) => <div key={name}><span>{name}</span><span class="track"><i class={tone} style={{ left: `${at(v)}%` }} /></span><b>{num(v)}</b></div>)}</div>
}
