// One candidate: its objectives beside the best parent's, what it may be called, how to take it away.
import { useState } from 'preact/hooks'
import type { Objective } from '../data'
import { link, note, notes, overview, picked, run, source } from '../state'
import { duration, measured, num, quoted, signed, titled } from '../words'
import { Depth } from './depth'
import { useFetched } from './fetched'

export function Card({ number, close }: { number: number; close?: () => void }) {
  const detail = useFetched((key) => source.candidate(key, number), number)
  const head = overview.value
  if (!detail || !head) return <aside class="card" aria-busy="true"><p class="quiet">Reading candidate {number}…</p></aside>
  const parent = detail.parent?.number === number ? null : detail.parent
  const command = `evomerge export ${quoted(head.directory)} --pick ${number} --out candidate-${number}`
  const other = head.picks.candidates.winner ?? head.picks.candidates.knee ?? head.picks.candidates.best
  return (
    <aside class="card candidate" aria-label={`Candidate ${number}`}>
      <header>
        <h3>{detail.label || `Candidate ${number}`} {detail.label && <small>candidate {number}</small>}</h3>
        <Star number={number} />
        {close && <button class="icon" aria-label="Close" onClick={close}>×</button>}
      </header>
      <p class="marks">{detail.marks.map((mark) => <span class={`mark ${toneOf(mark)}`} key={mark}>{mark}</span>)}
        {detail.state !== 'told' && <span class="mark">{detail.state}</span>}</p>
      {detail.objectives.length > 0 && (
        <table class="numbers">
          <thead><tr><th scope="col">search items</th><th scope="col">score</th>{parent && <th scope="col" title={`best parent: ${parent.name}`}>best parent</th>}{parent && <th scope="col">gain</th>}</tr></thead>
          <tbody>
            {detail.objectives.map((shown, k) => {
              const objective: Objective = head.objectives[k]
              const theirs = parent?.objectives[k]
              const gain = theirs && shown.value !== null && theirs.value !== null ? shown.value - theirs.value : null
              return (
                <tr key={objective.name}>
                  <th scope="row">{titled(objective)}</th><td>{measured(shown, objective)}</td>
                  {parent && <td>{num(theirs?.value, objective.decimals)}</td>}
                  {parent && <td class={gain && (gain > 0) !== objective.lower ? 'good' : gain ? 'bad' : ''}>{signed(gain, objective.decimals)}</td>}
                </tr>
              )
            })}
            <tr class="sum"><th scope="row">mean</th><td>{num(detail.mean)}</td>{parent && <td>{num(parent.mean)}</td>}
              {parent && <td class={(detail.mean ?? 0) > parent.mean ? 'good' : 'bad'}>{signed((detail.mean ?? 0) - parent.mean)}</td>}</tr>
            {detail.expected !== null && detail.expected !== detail.mean && <tr><th scope="row" title="shrunk for having been picked among many">expected on new items</th><td>{num(detail.expected)}</td></tr>}
          </tbody>
        </table>
      )}
      {detail.failure && <details class="failure" open><summary>failed at {detail.failure.stage}: {detail.failure.reason}</summary><pre tabIndex={0}>{detail.failure.traceback || 'no traceback'}</pre></details>}
      <p class="actions">
        {other !== undefined && other !== number && <a class="button" href={link({ page: 'compare', a: `${run.value}:${number}`, b: `${run.value}:${other}` })}>Compare with {head.labels[other] ?? `candidate ${other}`}</a>}
        {parent && <a class="button" href={link({ page: 'compare', a: `${run.value}:${number}`, b: `${run.value}:${parent.number}` })}>with the best parent</a>}
      </p>
      <Copied label="Export" text={command} />
      <Written number={number} />
      <details><summary>Genes over depth</summary><Depth maps={detail.maps} /></details>
      {detail.path && <p class="quiet wrap">layers: {detail.path}</p>}
      <details><summary>Held-out and task scores</summary>
        {Object.entries(detail.splits).map(([split, of]) => (
          <table class="numbers" key={split}><thead><tr><th scope="col">{split} items</th><th scope="col">score</th><th scope="col">items</th></tr></thead>
            <tbody>{of.tasks.map((t) => <tr key={t.task}><th scope="row">{t.task}</th><td>{num(t.mean)} ± {num(t.stderr)}</td><td>{t.items}</td></tr>)}</tbody></table>
        ))}
      </details>
      <details><summary>Recipe</summary><pre tabIndex={0}>{JSON.stringify(detail.recipe, null, 1)}</pre></details>
      <p class="quiet">{detail.operators}{detail.work ? `, ${detail.work}` : detail.seconds !== null && `, merged and scored in ${duration(detail.seconds)}`}</p>
    </aside>
  )
}

export function Star({ number }: { number: number }) {
  const on = notes.value[number]?.star ?? false
  if (!source.writes) return null
  return <button class={`icon star ${on ? 'on' : ''}`} aria-pressed={on} aria-label={`Star candidate ${number}`} onClick={(e) => { e.stopPropagation(); void note(number, { star: !on }) }}>{on ? '★' : '☆'}</button>
}

function Written({ number }: { number: number }) {
  const kept = notes.value[number]?.text ?? ''
  const [text, setText] = useState<string | null>(null)
  if (!source.writes) return kept ? <p class="note">{kept}</p> : null
  return (
    <label class="note">Note
      <textarea rows={2} maxLength={4000} value={text ?? kept} placeholder="What do you think of it? Kept in notes.json of the run."
        onInput={(e) => setText(e.currentTarget.value)} onBlur={() => { if (text !== null && text !== kept) void note(number, { text }); setText(null) }} />
    </label>
  )
}

export function Copied({ label, text }: { label: string; text: string }) {
  const [done, setDone] = useState(false)
  const copy = () => void navigator.clipboard?.writeText(text).then(() => { setDone(true); setTimeout(() => setDone(false), 1500) })
  return <p class="command"><span>{label}</span><code tabIndex={0}>{text}</code><button class="icon" onClick={copy} aria-label={`Copy: ${label}`}>{done ? 'copied' : 'copy'}</button></p>
}

export function toneOf(mark: string): string {
  if (mark.startsWith('verified')) return 'won'
  if (mark.startsWith('picked')) return 'chosen'
  return mark === 'knee' || mark.startsWith('best') ? 'knee' : mark === 'parent' ? 'parent' : ''
}

export function pick(number: number): void { picked.value = number }
