// What pages may do in a studio with --control: write campaigns, start and stop commands. None without it.
import { signal } from '@preact/signals'
import { get } from './source'
import { ask } from './state'

export interface Job { id: number; action: string; arguments: string[]; writes: string; at: number; code: number | null; going: boolean; output?: string }
export interface Standing { on: boolean; token: string; directory: string; files: string[]; jobs: Job[]; actions: string[] }
export interface Problem { key: string; line: number | null; told: string }
export interface Looked { text: string; fields: Record<string, unknown> | null; problems: Problem[]; files?: string[] }

export const standing = signal<Standing | null>(null)

export async function stand(): Promise<void> {
  const found = await ask(get<Partial<Standing>>('api/control'))
  if (found) standing.value = found.on ? (found as Standing) : null
}

export const campaign = async (file: string): Promise<string> => (await get<{ text: string }>(`api/control/campaign?${new URLSearchParams({ file })}`)).text
export const look = (file: string, text: string, set: Record<string, unknown> = {}): Promise<Looked> => sent('POST', 'look', { file, text, set })
export const job = (id: number): Promise<Job> => get(`api/control/jobs/${id}`)

export async function save(file: string, text: string): Promise<Looked> {
  const found = await sent<Looked>('PUT', 'campaign', { file, text })
  await stand()
  return found
}

export async function begin(wish: Record<string, unknown>): Promise<Job> {
  const found = await sent<Job>('POST', 'jobs', wish)
  await stand()
  return found
}

export async function stop(id: number): Promise<void> {
  await sent('POST', `jobs/${id}/stop`, {})
  await stand()
}

function sent<T>(method: string, where: string, body: unknown): Promise<T> {
  return get(`api/control/${where}`, {
    method, body: JSON.stringify(body),
    headers: { 'Content-Type': 'application/json', 'X-Evomerge-Studio': '1', 'X-Evomerge-Control': standing.value?.token ?? '' },
  })
}
