// Where documents come from: the studio's server here; a page frozen into one file gives the same from inside itself.
import type { Comparison, Detail, Listed, Note, Notes, Overview, Query, Rows } from './data'

export interface Source {
  readonly writes: boolean
  runs(): Promise<Listed[]>
  overview(run: string): Promise<Overview>
  document<T>(run: string, name: 'front' | 'search' | 'verdict'): Promise<T>
  candidates(run: string, query: Query): Promise<Rows>
  candidate(run: string, number: number): Promise<Detail>
  compare(a: string, b: string): Promise<Comparison>
  notes(run: string): Promise<Notes>
  note(run: string, number: number, note: Note): Promise<Notes>
  file(run: string, kind: 'csv' | 'parquet', query: Query): string | null
  watch(told: (run: string) => void, connected: (is: boolean) => void): void
}

export function served(): Source {
  const at = (run: string) => `api/runs/${encodeURIComponent(run)}`
  return {
    writes: true,
    runs: () => get('api/runs'),
    overview: (run) => get(at(run)),
    document: (run, name) => get(`${at(run)}/${name}`),
    candidates: (run, query) => get(`${at(run)}/candidates?${asked(query)}`),
    candidate: (run, number) => get(`${at(run)}/candidates/${number}`),
    compare: (a, b) => get(`api/compare?${new URLSearchParams({ a, b })}`),
    notes: async (run) => (await get<{ notes: Notes }>(`${at(run)}/notes`)).notes,
    note: async (run, number, note) => (await get<{ notes: Notes }>(`${at(run)}/notes/${number}`, {
      method: 'PUT',
      headers: { 'Content-Type': 'application/json', 'X-Evomerge-Studio': '1' },
      body: JSON.stringify({ star: note.star, text: note.text }),
    })).notes,
    file: (run, kind, query) => `${at(run)}/candidates.${kind}?${asked(query)}`,
    watch(told, connected) {
      const events = new EventSource('api/news')
      events.addEventListener('changed', (event) => told(JSON.parse((event as MessageEvent<string>).data).run as string))
      events.onopen = () => connected(true)
      events.onerror = () => connected(false)
    },
  }
}

export async function get<T>(address: string, options?: RequestInit): Promise<T> {
  const answer = await fetch(address, options)
  const document = await answer.json().catch(() => ({ error: `${answer.status} ${answer.statusText}` }))
  if (!answer.ok) throw new Error(document.error ?? `${answer.status}`)
  return document as T
}

function asked(query: Query): string {
  const found = new URLSearchParams({ sort: query.sort, order: query.order, offset: `${query.offset}`, limit: `${query.limit}` })
  if (query.state) found.set('state', query.state)
  if (query.text) found.set('text', query.text)
  if (query.starred) found.set('starred', '1')
  if (query.only) found.set('only', query.only.slice(0, 2000).join(','))
  if (query.column && number(query.least)) found.set(`least.${query.column}`, query.least)
  if (query.column && number(query.most)) found.set(`most.${query.column}`, query.most)
  return found.toString()
}

const number = (text: string) => text.trim() !== '' && Number.isFinite(Number(text))
