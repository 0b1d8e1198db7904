// Numbers and names as people read them.
import type { Interval, Objective, Shown } from './data'

export const plain: Objective = { name: '', unit: '', better: '', lower: false, decimals: 3, counts: true, weight: 1 }

export function num(value: number | null | undefined, decimals = 3): string {
  return value === null || value === undefined || !Number.isFinite(value) ? '–' : value.toFixed(decimals).replace('-', '−')
}

export function signed(value: number | null | undefined, decimals = 3): string {
  return value === null || value === undefined ? '–' : (value > 0 ? '+' : '') + num(value, decimals)
}

export function measured(shown: Shown | undefined, objective: Objective = plain): string {
  if (!shown || shown.value === null) return '–'
  const error = shown.stderr ? ` ± ${num(shown.stderr, objective.decimals)}` : ''
  return num(shown.value, objective.decimals) + error
}

export function interval(found: Interval | null, decimals = 3): string {
  return found ? `${signed(found.value, decimals)} (${signed(found.low, decimals)} to ${signed(found.high, decimals)})` : '–'
}

export function titled(objective: Objective): string {
  return objective.unit ? `${objective.name} (${objective.unit}, ${objective.better})` : objective.name
}

export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return '–'
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`
}

export function short(text: string, longest = 28): string {
  return text.length <= longest ? text : `${text.slice(0, longest - 12)}…${text.slice(-11)}`
}

export function quoted(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
