import { useEffect, useRef, useState } from 'preact/hooks'
import { begin, campaign, type Job, job, look, type Looked, save, stand, standing, stop } from '../control'
import { act, ask, link, overview, run } from '../state'
import { quoted } from '../words'

export function ControlPage() {
  const now = standing.value
  const [shown, setShown] = useState<number | null>(null)
  useEffect(() => { const timer = setInterval(() => void stand(), 3000); return () => clearInterval(timer) }, [])
  if (!now) return <p class="empty">This studio only looks. <code>evomerge studio --control DIR</code> may also write campaigns and start them.</p>
  const start = async (wish: Record<string, unknown>) => { const begun = await act(begin(wish)); if (begun) setShown(begun.id) }
  return (
    <div class="search control">
      {run.value && <OfRun actions={now.actions} start={start} />}
      <Commands jobs={now.jobs} shown={shown} show={setShown} />
      <Campaign files={now.files} start={start} />
    </div>
  )
}

type Start = (wish: Record<string, unknown>) => Promise<void>

function OfRun({ actions, start }: { actions: string[]; start: Start }) {
  const head = overview.value
  const [evaluations, setEvaluations] = useState<number | null>(null)
  const [pick, setPick] = useState('knee')
  const [out, setOut] = useState('')
  const [repo, setRepo] = useState('')
  if (!head) return null
  const busy = head.live ? 'a process writes to this run' : undefined
  const more = evaluations ?? (head.budget ?? head.asked) + 50
  const of = (action: string, wish: Record<string, unknown> = {}) => () => void start({ action, run: run.value, ...wish })
  const picks = [...Object.keys(head.picks.candidates)].filter((p) => ['knee', 'best', 'winner'].includes(p))
  return (
    <section class="panel wide"><h2>This run <small>{head.name}</small></h2>
      {busy && <p class="quiet">A process writes to this run now: one writer at a time. Stop it below if this studio started it.</p>}
      <div class="tools">
        <button disabled={!!busy} onClick={of('resume')}>Go on</button>
        <label>until <input type="number" min={1} value={more} onInput={(e) => setEvaluations(Number(e.currentTarget.value))} /> evaluations</label><button disabled={!!busy} onClick={of('extend', { evaluations: more })}>Extend</button>
        <button disabled={!!busy} onClick={of('verify')}>Verify</button>
      </div>
      <div class="tools">
        <label>pick <select value={pick} onChange={(e) => setPick(e.currentTarget.value)}>{[...new Set(['knee', 'best', ...picks])].map((p) => <option key={p}>{p}</option>)}</select></label>
        <label>into <input value={out} placeholder={`exports/${pick}`} onInput={(e) => setOut(e.currentTarget.value)} /></label>
        <button onClick={of('export', { pick, out: out || `exports/${pick}` })}>Export</button>
        {actions.includes('push') && <>
          <label>to <input value={repo} placeholder="owner/name" onInput={(e) => setRepo(e.currentTarget.value)} /></label>
          <button disabled={!repo} onClick={of('push', { pick, repo })}>Say what a push would send</button>
          <button disabled={!repo} onClick={() => { if (confirm(`Publish ${pick} as ${repo}?`)) void start({ action: 'push', run: run.value, pick, repo, publish: true }) }}>Push</button>
        </>}
      </div>
    </section>
  )
}

function Commands({ jobs, shown, show }: { jobs: Job[]; shown: number | null; show: (id: number | null) => void }) {
  if (!jobs.length) return null
  return (
    <section class="panel wide"><h2>Commands</h2>
      <p class="quiet">Ordinary processes: they go on when the studio ends. Stop is Ctrl-C: what is running is finished and saved, and the run can go on later; twice ends it at once.</p>
      <ul class="jobs">{jobs.map((one) => (
        <li key={one.id}>
          <button class="linkish" aria-expanded={shown === one.id} onClick={() => show(shown === one.id ? null : one.id)}>{one.id}</button>{' '}
          <code>evomerge {one.arguments.map(quoted).join(' ')}</code>{' '}
          <span class={`mark ${one.going ? 'knee' : one.code === 0 ? 'won' : ''}`}>{one.going ? 'going on' : one.code === null ? 'ended' : one.code === 0 ? 'done' : `ended with ${one.code}`}</span>{' '}
          {one.going && <button onClick={() => void act(stop(one.id))}>Stop</button>}
          {shown === one.id && <Output id={one.id} />}
        </li>))}</ul>
    </section>
  )
}

function Output({ id }: { id: number }) {
  const [found, setFound] = useState<Job | null>(null)
  const place = useRef<HTMLPreElement>(null)
  useEffect(() => {
    let wanted = true
    const again = async () => {
      const next = await job(id).catch(() => null)
      if (!wanted) return
      if (next) setFound(next)
      if (next?.going !== false) setTimeout(() => void again(), 1000)
    }
    void again()
    return () => { wanted = false }
  }, [id])
  useEffect(() => { place.current?.scrollTo(0, place.current.scrollHeight) }, [found?.output])
  return <pre ref={place} tabIndex={0} class="log" aria-label={`output of command ${id}`}>{found?.output || 'nothing is printed yet'}</pre>
}

const NEW = 'campaign.yaml'

function Campaign({ files, start }: { files: string[]; start: Start }) {
  const [file, setFile] = useState(files[0] ?? NEW)
  const [text, setText] = useState<string | null>(null)
  const [found, setFound] = useState<Looked | null>(null)
  const [kept, setKept] = useState('')
  const asked = useRef(0)
  useEffect(() => {
    let wanted = true
    const timer = setTimeout(() => void act(campaign(file)).then((read) => {
      if (!wanted || read === null) return
      setText(read); setKept(files.includes(file) ? read : '')
    }), 200)
    return () => { wanted = false; clearTimeout(timer) }
  }, [file])
  const latest = useRef('')
  latest.current = text ?? ''
  const looked = async (from: string, set: Record<string, unknown> = {}) => {
    const mine = ++asked.current
    const next = await ask(look(file, from, set))
    if (!next || mine !== asked.current || latest.current !== from) return
    setFound(next)
    if (next.text !== from) setText(next.text)
  }
  useEffect(() => { if (text === null) return; const timer = setTimeout(() => void looked(text), 300); return () => clearTimeout(timer) }, [text])
  const fields = found?.fields ?? null
  const set = (key: string) => (value: unknown) => { if (text !== null) void looked(text, { [key]: value }) }
  const saved = text !== null && text === kept
  return (
    <section class="panel wide"><h2>Campaign</h2>
      <div class="tools">
        <label>File <input list="campaigns" value={file} onChange={(e) => setFile(e.currentTarget.value.trim() || NEW)} /></label>
        <datalist id="campaigns">{files.map((f) => <option key={f} value={f} />)}</datalist>
        <button disabled={text === null || saved} onClick={() => void act(save(file, text!)).then((done) => { if (done) { setKept(text!); setFound(done) } })}>Save</button>
        <button disabled={!saved || !!found?.problems.length} onClick={() => void start({ action: 'plan', file })}>Plan</button>
        <button disabled={!saved || !!found?.problems.length} onClick={() => void start({ action: 'start', file })}>Start</button>
        <span class="quiet" role="status">{text === null ? '' : found === null ? 'looking…' : found.problems.length ? `${found.problems.length} to correct` : saved ? 'can be started' : 'right, not saved'}</span>
      </div>
      <div class="two">
        <div class="form">
          <Field label="Name" value={plain(fields?.name)} set={set('name')} />
          <Field label="Base model" value={plain(fields?.base)} set={set('base')} />
          <Lines label="Parents, one a line" value={list(fields?.parents).map(written)} set={(lines) => set('parents')(lines.map((line) => list(fields?.parents).find((p) => written(p) === line) ?? line))} />
          <Field label="Merge method" value={plain(fields?.['space.operator'])} set={set('space.operator')} />
          <Lines label="Objectives, one a line: name: task, task" value={list(fields?.objectives).map(written)} set={(lines) => set('objectives')(lines.map((line) => objective(line, list(fields?.objectives))))} />
          <Field label="Evaluations" value={plain(fields?.['budget.evaluations'])} set={set('budget.evaluations')} number />
          <Field label="Workers" value={plain(fields?.['workers.count'])} set={set('workers.count')} number />
          <Field label="Seed" value={plain(fields?.seed)} set={set('seed')} number />
        </div>
        <div>
          <label class="note">{file}<textarea class="code" rows={26} spellcheck={false} value={text ?? ''} onInput={(e) => setText(e.currentTarget.value)} /></label>
          <ul class="problems" aria-live="polite">{found?.problems.map((p) => <li key={p.told}>{p.line !== null && <b>line {p.line}</b>} {p.told}</li>)}</ul>
        </div>
      </div>
      <p class="quiet">The form and the text are one file; comments stay. Runs come into <a href={link({ page: 'front' })}>the list above</a> once they have begun.</p>
    </section>
  )
}

function Field({ label, value, set, number }: { label: string; value: string; set: (value: unknown) => void; number?: boolean }) {
  return <label class="field">{label} <input value={value} inputMode={number ? 'numeric' : undefined} onChange={(e) => { const now = e.currentTarget.value.trim(); if (now !== value) set(number && /^\d+$/.test(now) ? Number(now) : now) }} /></label>
}

function Lines({ label, value, set }: { label: string; value: string[]; set: (lines: string[]) => void }) {
  const shown = value.join('\n')
  return <label class="field">{label} <textarea rows={Math.max(2, value.length + 1)} value={shown} onChange={(e) => { const now = e.currentTarget.value; if (now.trim() !== shown) set(now.split('\n').map((line) => line.trim()).filter(Boolean)) }} /></label>
}

const plain = (value: unknown): string => (value === null || value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value))
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])

interface Named { name?: string; model?: string; tasks?: unknown[] }

function written(entry: unknown): string {
  if (typeof entry !== 'object' || entry === null) return String(entry)
  const { name, model, tasks } = entry as Named
  if (Array.isArray(tasks)) return `${name ?? ''}: ${tasks.map(plain).join(', ')}`
  return model !== undefined ? `${model}${name ? ` (${name})` : ''}` : plain(entry)
}

// What a line leaves unsaid, as a weight, stays with the objective of its name.
function objective(line: string, before: unknown[]): unknown {
  const same = before.find((one) => written(one) === line)
  if (same) return same
  const at = line.indexOf(': ')
  const [name, tasks] = at < 0 ? [line.replace(/:$/, ''), ''] : [line.slice(0, at), line.slice(at + 2)]
  const known = before.find((one) => (one as Named | null)?.name === name) as object | undefined
  return { ...known, name, tasks: tasks.split(',').map((t) => t.trim()).filter(Boolean) }
}
