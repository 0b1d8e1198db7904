// A run frozen into one file: the same documents, as many as fit, from inside the page.
import type { Compared, ComparedSplit, Comparison, Detail, Interval, Listed, Notes, Overview, Query, Row, Rows, Shown } from './data'
import type { Source } from './source'

interface Frozen {
  overview: Overview; documents: Record<string, unknown>; rows: Rows; details: Record<string, Detail>; compared: Record<string, Comparison>; notes: Notes
}

const KEY = 'report'

export function frozen(text: string): Source {
  const held = JSON.parse(text) as Frozen
  const listed: Listed = { key: KEY, name: held.overview.name, directory: held.overview.directory, version: '', live: false, asked: held.overview.asked, ending: held.overview.ending }
  const numberOf = (side: string) => Number(side.slice(side.lastIndexOf(':') + 1))
  return {
    writes: false,
    runs: async () => [listed],
    overview: async () => held.overview,
    document: async <T>(_: string, name: string) => held.documents[name] as T,
    candidates: async (_, query) => page(held.rows, query),
    candidate: async (_, number) => held.details[number] ?? bare(held, number),
    compare: async (a, b) => {
      const [first, second] = [numberOf(a), numberOf(b)]
      const found = held.compared[`${first}.${second}`]
      if (found) return found
      const other = held.compared[`${second}.${first}`]
      if (other) return turned(other)
      throw new Error(`This page holds no comparison of ${first} and ${second}: evomerge studio compares any two.`)
    },
    notes: async () => held.notes,
    note: async () => held.notes,
    file: () => null,
    watch: () => undefined,
  }
}

function page(all: Rows, query: Query): Rows {
  const wanted = query.text.toLowerCase()
  const value = (row: Row, key: string) => { const v = key.startsWith('g') ? row.genes[key] : row[key]; return typeof v === 'number' ? v : null }
  const bound = (text: string) => (text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : null)
  const [least, most] = [bound(query.least), bound(query.most)]
  const only = query.only && new Set(query.only)
  const kept = all.rows.filter((row) => {
    const at = value(row, query.column)
    return (!query.state || row.state === query.state) && (!only || only.has(row.number))
      && (!wanted || [row.number, row.label, row.failure, ...row.marks].join(' ').toLowerCase().includes(wanted))
      && (least === null || (at !== null && at >= least)) && (most === null || (at !== null && at <= most))
  })
  const sign = query.order === 'down' ? -1 : 1
  kept.sort((a, b) => {
    const [x, y] = [value(a, query.sort), value(b, query.sort)]
    return x === null ? (y === null ? 0 : 1) : y === null ? -1 : sign * (x - y)
  })
  return { ...all, total: kept.length, rows: kept.slice(query.offset, query.offset + query.limit) }
}

// Of a candidate whose recipe did not fit, what the table says.
function bare(held: Frozen, number: number): Detail {
  const row = held.rows.rows.find((one) => one.number === number)
  if (!row) throw new Error(`This page holds nothing of candidate ${number}: evomerge studio shows it.`)
  const objectives: Shown[] = held.overview.objectives.map((_, k) => ({ value: row[`o${k}`] as number | null, stderr: row[`e${k}`] as number | null, low: null, high: null, items: 0, kind: '' }))
  return { number, title: row.label || `candidate ${number}`, label: row.label, state: row.state, marks: row.marks, operators: row.operators, objectives, mean: row.mean, expected: row.expected,
    parent: null, splits: {}, seconds: row.seconds, work: '', failure: row.failure ? { stage: '', reason: row.failure, traceback: '' } : null, recipe: 'not in this page', path: '', maps: [], genes: {} }
}

function turned(found: Comparison): Comparison {
  const difference = (d: Interval | null) => d && { value: -d.value, low: -d.high, high: -d.low }
  const row = (one: Compared): Compared => ({ ...one, a: one.b, b: one.a, difference: difference(one.difference) })
  const split = (of: ComparedSplit): ComparedSplit => ({
    ...of, won: of.lost, lost: of.won, mean: of.mean && row(of.mean), objectives: of.objectives.map(row), tasks: of.tasks.map(row),
    listed: of.listed.map((one) => ({ ...one, a: one.b, b: one.a, won: !one.won })),
  })
  return { splits: Object.fromEntries(Object.entries(found.splits).map(([name, of]) => [name, split(of)])), recipe: found.recipe.map(({ at, a, b }) => ({ at, a: b, b: a })) }
}
