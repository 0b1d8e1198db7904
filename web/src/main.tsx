import { effect } from '@preact/signals'
import { render } from 'preact'
import { Head } from './parts/head'
import { CandidatesPage } from './pages/candidates'
import { ComparePage } from './pages/compare'
import { ControlPage } from './pages/control'
import { FrontPage } from './pages/front'
import { SearchPage } from './pages/search'
import { VerdictPage } from './pages/verdict'
import { stand, standing } from './control'
import { kind, overview, page, runs, start } from './state'

const SHOWN = { front: FrontPage, candidates: CandidatesPage, compare: ComparePage, search: SearchPage, verdict: VerdictPage, control: ControlPage }

function Studio() {
  const Shown = SHOWN[page.value]
  const none = runs.value?.length === 0
  return (
    <>
      <a class="skip" href="#content" onClick={(e) => { e.preventDefault(); document.getElementById('content')?.focus() }}>To the content</a>
      <Head />
      <main id="content" tabIndex={-1}>
        {page.value === 'control' ? <ControlPage /> : none ? <p class="empty">No run is here yet. Start a search (<code>evomerge run campaign.yaml</code>), or name a directory: <code>evomerge studio DIR</code>.{standing.value && <> Or write a campaign on the <a href="#//control">Control page</a>.</>}</p>
          : overview.value ? <Shown key={overview.value.key} /> : <p class="quiet">Opening the run…</p>}
      </main>
    </>
  )
}

start()
if (kind === 'studio') void stand()
effect(() => { document.title = overview.value ? `${overview.value.name} · evomerge ${kind}` : `evomerge ${kind}` })
render(<Studio />, document.getElementById('studio')!)
