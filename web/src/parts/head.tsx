// The head of every page: which run, how far, what may be said of it, where to go.
import { standing } from '../control'
import { chooseTheme, connected, kind, link, overview, page, PAGES, run, runs, theme, trouble } from '../state'
import { duration } from '../words'

const NAMES = { front: 'Front', candidates: 'Candidates', compare: 'Compare', search: 'Search', verdict: 'Verdict', control: 'Control' }

export function Head() {
  const head = overview.value
  return (
    <>
      <header class="top">
        <a class="brand" href={link({ page: 'front' })}><Icon /> evomerge <span>{kind}</span></a>
        {kind === 'studio' && <label class="runs"><span class="hidden">Run</span>
          <select value={run.value} onChange={(e) => (location.hash = link({ run: e.currentTarget.value }))}>
            {(runs.value ?? []).map((one) => <option key={one.key} value={one.key}>{one.name}{one.live ? ' · live' : ''} ({one.asked})  {one.directory}</option>)}
          </select>
        </label>}
        {head?.live && <span class="live" title="a process is searching or verifying now"><i aria-hidden="true" /> live</span>}
        {!connected.value && <span class="live off">not connected</span>}
        <button class="icon theme" onClick={chooseTheme} aria-label={theme.value === 'dark' ? 'Light colours' : 'Dark colours'}>{theme.value === 'dark' ? '☀' : '☾'}</button>
      </header>
      <nav aria-label="Pages">{PAGES.filter((one) => one !== 'control' || standing.value).map((one) => <a key={one} href={link({ page: one })} aria-current={page.value === one ? 'page' : undefined}>{NAMES[one]}</a>)}</nav>
      {trouble.value && <p class="trouble" role="alert">{trouble.value}</p>}
      {head && <Summary />}
    </>
  )
}

function Icon() {
  return (
    <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true"><rect width="32" height="32" rx="7" fill="#2c5fc9" /><path d="M6 9c8 0 14 6 17 15" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" />
      <circle cx="6" cy="9" r="2.6" fill="#fff" /><circle cx="17" cy="14.2" r="3.6" fill="#f0ae3f" /><circle cx="23" cy="24" r="2.6" fill="#fff" /></svg>
  )
}

function Summary() {
  const head = overview.value!
  const failed = head.states.failed ?? 0, stopped = head.states.stopped ?? 0
  const done = head.budget ? Math.min(1, head.told / head.budget) : null
  return (
    <section class={`summary ${head.standing}`}>
      <h1>{head.name}</h1>
      <p class="headline">{head.headline}</p>
      <ul class="facts">
        <li><b>{head.told}</b>{head.budget ? ` of ${head.budget}` : ''} candidates{failed > 0 && `, ${failed} failed`}{stopped > 0 && `, ${stopped} stopped early`}</li>
        <li><b>{head.front_size}</b> on the front</li>
        <li><b>{duration((head.hours ?? 0) * 3600)}</b> of search{head.told > 0 && `, ${duration(((head.hours ?? 0) * 3600) / head.told)} each`}</li>
        <li>{head.optimiser}{head.space && `, ${head.space}`}</li>
        {!head.live && head.ending !== null && <li>{head.ending ? `ended: ${head.ending}` : 'its last session did not end'}</li>}
      </ul>
      {done !== null && head.live && <progress value={done} max={1} aria-label="share of the evaluations" />}
      {head.notes.length > 0 && <details class="remarks"><summary>{head.notes.length} remark{head.notes.length > 1 ? 's' : ''}</summary><ul>{head.notes.map((line) => <li key={line}>{line}</li>)}</ul></details>}
    </section>
  )
}
