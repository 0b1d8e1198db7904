import { useState } from 'preact/hooks'
import type { Query, Row } from '../data'
import { Card, Star, toneOf } from '../parts/card'
import { useLatest } from '../parts/fetched'
import { notes, overview, picked, run, selection, source } from '../state'
import { duration, num, titled } from '../words'

const START: Query = { sort: 'mean', order: 'down', offset: 0, limit: 100, state: '', text: '', starred: false, only: null, column: 'mean', least: '', most: '' }

export function CandidatesPage() {
  const [query, setQuery] = useState<Query>({ ...START, only: selection.value ? [...selection.value] : null })
  const [genes, setGenes] = useState(false)
  const change = (some: Partial<Query>) => setQuery({ ...query, offset: 0, ...some })
  const rows = useLatest((key) => source.candidates(key, query), query, query.starred ? notes.value : null)
  const head = overview.value
  if (!head) return <p class="quiet">Reading candidates…</p>
  const columns: { key: string; name: string; decimals: number }[] = [
    ...head.objectives.map((o, k) => ({ key: `o${k}`, name: titled(o), decimals: o.decimals })),
    { key: 'mean', name: 'mean', decimals: 3 }, { key: 'expected', name: 'expected', decimals: 3 }, { key: 'seconds', name: 'seconds', decimals: 1 },
  ]
  const shownGenes = genes ? (rows?.genes ?? []).slice(0, 40) : []
  const sort = (key: string) => change(query.sort === key ? { order: query.order === 'down' ? 'up' : 'down' } : { sort: key, order: key === 'number' ? 'up' : 'down' })
  const head_ = (key: string, name: string) => (
    <th scope="col" key={key} aria-sort={query.sort === key ? (query.order === 'down' ? 'descending' : 'ascending') : undefined}>
      <button onClick={() => sort(key)}>{name}{query.sort === key && <span aria-hidden="true">{query.order === 'down' ? ' ▾' : ' ▴'}</span>}</button>
    </th>
  )
  return (
    <div class={`candidates ${picked.value === null ? '' : 'beside'}`}>
      <section class="panel">
        <div class="tools">
          <label>Find <input type="search" value={query.text} placeholder="name, mark, failure" onInput={(e) => change({ text: e.currentTarget.value })} /></label>
          <label>State <select value={query.state} onChange={(e) => change({ state: e.currentTarget.value })}>
            <option value="">all</option>{['told', 'stopped', 'failed', 'pending'].map((s) => <option key={s} value={s}>{s} ({head.states[s] ?? 0})</option>)}</select></label>
          <span class="range"><select aria-label="Column with bounds" value={query.column} onChange={(e) => change({ column: e.currentTarget.value })}>
            {[...columns, ...(rows?.genes ?? [])].map((c) => <option key={c.key} value={c.key}>{c.name}</option>)}</select>
            <input inputMode="decimal" aria-label="at least" placeholder="at least" value={query.least} onInput={(e) => change({ least: e.currentTarget.value })} />
            <input inputMode="decimal" aria-label="at most" placeholder="at most" value={query.most} onInput={(e) => change({ most: e.currentTarget.value })} /></span>
          {source.writes && <label class="check"><input type="checkbox" checked={query.starred} onChange={() => change({ starred: !query.starred })} /> starred</label>}
          {(rows?.genes.length ?? 0) > 0 && <label class="check"><input type="checkbox" checked={genes} onChange={() => setGenes(!genes)} /> genes</label>}
          {query.only && <button class="clear" onClick={() => change({ only: null })}>{query.only.length > 2000 ? `the first 2000 of ${query.only.length}` : query.only.length} selected on the front ×</button>}
          {!query.only && selection.value && <button onClick={() => change({ only: [...selection.value!] })}>only the {selection.value.size} selected</button>}
          <span class="files">{(['csv', 'parquet'] as const).map((kind) => { const at = source.file(run.value, kind, query); return at && <a key={kind} class="button" href={at} download>{kind === 'csv' ? 'CSV' : 'Parquet'}</a> })}</span>
        </div>
        <div class="scroll tall" tabIndex={0} role="region" aria-label="Candidates">
          <table class="grid">
            <thead><tr>{head_('number', 'candidate')}{columns.map((c) => head_(c.key, c.name))}<th scope="col" class="text">operator</th>{shownGenes.map((g) => head_(g.key, g.name))}</tr></thead>
            <tbody>{rows?.rows.map((row) => <Line key={row.number} row={row} columns={columns} genes={shownGenes.map((g) => g.key)} />)}</tbody>
          </table>
          {rows && rows.rows.length === 0 && <p class="empty">No candidate is like this.</p>}
        </div>
        {rows && <p class="pager">
          <button disabled={query.offset === 0} onClick={() => setQuery({ ...query, offset: Math.max(0, query.offset - query.limit) })}>← Earlier</button>
          <span>{rows.total === 0 ? 0 : query.offset + 1} to {Math.min(query.offset + query.limit, rows.total)} of {rows.total}{rows.total !== rows.all && ` (${rows.all} in all)`}</span>
          <button disabled={query.offset + query.limit >= rows.total} onClick={() => setQuery({ ...query, offset: query.offset + query.limit })}>Later →</button>
        </p>}
      </section>
      {picked.value !== null && <Card number={picked.value} close={() => (picked.value = null)} />}
    </div>
  )
}

function Line({ row, columns, genes }: { row: Row; columns: { key: string; decimals: number }[]; genes: string[] }) {
  const noted = notes.value[row.number]?.text
  return (
    <tr class={picked.value === row.number ? 'picked' : row.state} onClick={() => (picked.value = row.number)}>
      <th scope="row"><Star number={row.number} /><button class="linkish" onClick={() => (picked.value = row.number)}>{row.label || row.number}</button>
        {row.label && <small> {row.number}</small>}{row.marks.filter((m) => m !== 'baseline').slice(0, 3).map((m) => <span class={`mark ${toneOf(m)}`} key={m}>{m}</span>)}
        {row.state !== 'told' && <span class="mark">{row.state}</span>}{noted && <span class="noted" title={noted}>✎</span>}
        {row.failure && <span class="why" title={row.failure}>{row.failure}</span>}</th>
      {columns.map((c) => {
        const error = c.key.startsWith('o') ? (row[`e${c.key.slice(1)}`] as number | null) : null
        const value = row[c.key] as number | null
        return <td key={c.key}>{c.key === 'seconds' ? duration(value) : num(value, c.decimals)}{error ? <small> ± {num(error, c.decimals)}</small> : null}</td>
      })}
      <td class="text">{row.operators}</td>
      {genes.map((g) => <td key={g}>{typeof row.genes[g] === 'number' ? num(row.genes[g] as number) : String(row.genes[g] ?? '')}</td>)}
    </tr>
  )
}
