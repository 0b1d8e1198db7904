// What is shown now: an address (run, page, candidates), what was fetched for it, and what is selected on all pages.
import { computed, effect, signal } from '@preact/signals'
import type { Listed, Notes, Overview } from './data'
import { frozen } from './frozen'
import { served, type Source } from './source'

export const PAGES = ['front', 'candidates', 'compare', 'search', 'verdict', 'control'] as const
export type Page = (typeof PAGES)[number]

const inside = document.getElementById('data')?.textContent // of a page that is a report
export const source: Source = inside ? frozen(inside) : served()
export const kind = inside ? 'report' : 'studio'
export const runs = signal<Listed[] | null>(null)
export const trouble = signal('')
export const connected = signal(true)
export const address = signal(parsed(location.hash))
export const run = computed(() => address.value.run)
export const page = computed(() => address.value.page)
export const overview = signal<Overview | null>(null)
export const notes = signal<Notes>({})
export const news = signal<Record<string, number>>({}) // run -> how often it changed since the page was opened
export const selection = signal<Set<number> | null>(null) // candidates; null: all
export const picked = signal<number | null>(null)
export const theme = signal<'light' | 'dark'>(themeNow())

export interface Address { run: string; page: Page; a: string; b: string }

function parsed(hash: string): Address {
  const [path, query = ''] = hash.replace(/^#\/?/, '').split('?')
  const [name = '', second = 'front'] = path.split('/').map(decodeURIComponent)
  const given = new URLSearchParams(query)
  const shown = (PAGES as readonly string[]).includes(second) ? (second as Page) : 'front'
  return { run: name, page: shown, a: given.get('a') ?? '', b: given.get('b') ?? '' }
}

export function link(to: Partial<Address>): string {
  const { run, page, a, b } = { ...address.value, a: '', b: '', ...to }
  const query = a || b ? `?${new URLSearchParams({ a, b })}` : ''
  return `#/${encodeURIComponent(run)}/${page}${query}`
}

let own = false // whether the trouble is a person's doing; what is fetched unasked takes only its own back

export async function ask<T>(what: Promise<T>, acts = false): Promise<T | null> {
  try {
    const found = await what
    if (acts || !own) trouble.value = ''
    return found
  } catch (error) {
    trouble.value = error instanceof Error ? error.message : String(error)
    own = acts
    return null
  }
}

// What a person does: why it failed stays until the next act, or another page.
export const act = <T>(what: Promise<T>): Promise<T | null> => ask(what, true)

export async function refresh(): Promise<void> {
  const found = await ask(source.runs())
  if (!found) return
  runs.value = found
  if (!found.some((one) => one.key === run.value)) {
    const first = found.find((one) => one.live) ?? found.find((one) => !one.error) ?? found[0]
    if (first) location.replace(link({ run: first.key }))
  }
}

async function head(key: string): Promise<void> {
  const [found, kept] = await Promise.all([ask(source.overview(key)), source.notes(key).catch(() => ({}))])
  if (run.value !== key) return
  overview.value = found
  notes.value = kept
}

export async function note(number: number, change: { star?: boolean; text?: string }): Promise<void> {
  const before = notes.value[number] ?? { star: false, text: '' }
  const found = await act(source.note(run.value, number, { ...before, ...change }))
  if (found) notes.value = found
}

export function start(): void {
  addEventListener('hashchange', () => { address.value = parsed(location.hash); trouble.value = ''; own = false })
  let shown = ''
  effect(() => {
    const key = run.value
    if (key === shown) return
    shown = key
    overview.value = null
    selection.value = null
    picked.value = null
    if (key) void head(key)
  })
  void refresh()
  let waiting = 0
  source.watch((key) => {
    // Several commits a second are one change of the page.
    if (waiting) return
    waiting = window.setTimeout(() => {
      waiting = 0
      news.value = { ...news.value, [key]: (news.value[key] ?? 0) + 1 }
      void refresh()
      if (key === run.value) void head(key)
    }, 700)
  }, (is) => (connected.value = is))
  effect(() => { document.documentElement.dataset.theme = theme.value })
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => (theme.value = themeNow()))
}

export function chooseTheme(): void {
  theme.value = theme.value === 'dark' ? 'light' : 'dark'
  try { localStorage.setItem('theme', theme.value) } catch { /* private windows have none */ }
}

function themeNow(): 'light' | 'dark' {
  let kept: string | null = null
  try { kept = localStorage.getItem('theme') } catch { /* private windows have none */ }
  if (kept === 'light' || kept === 'dark') return kept
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'
}
