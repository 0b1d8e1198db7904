// The documents of evomerge/results/pages, as they come.
export interface Objective { name: string; unit: string; better: string; lower: boolean; decimals: number; counts: boolean; weight: number }
export interface Shown { value: number | null; stderr: number | null; low: number | null; high: number | null; items: number; kind: string }
export interface Interval { value: number; low: number; high: number }
export interface Picks { by: string; candidates: Record<string, number>; dropped: Record<string, string>; searched: Record<string, number>; notes: string[] }
export interface Listed { key: string; name: string; directory: string; version: string; live: boolean; asked: number; ending: string | null; error?: string }
export interface Overview {
  key: string; name: string; directory: string; version: string; standing: string; headline: string; live: boolean; ending: string | null
  objectives: Objective[]; asked: number; told: number; states: Record<string, number>; budget: number | null; hours: number | null
  began: number | null; ended: number | null; optimiser: string; space: string; parents: string[]; best_parent: number | null; picks: Picks
  labels: Record<string, string>; notes: string[]; front_size: number; verified: boolean
}
export interface Named { number: number; name: string; kind: 'parent' | 'baseline' | 'start'; mean: number | null; objectives: Shown[] }
export interface FrontWinner { number: number; picks: string[]; standing: string; wins: boolean; split: string; objectives: Shown[] }
export interface Predicted { objectives: number[]; points: (number | null)[][][]; quality: [string, string, number | null][] }
export interface Points {
  number: number[]; front: number[]; whole: number[]; missed: (number | null)[]; mean: (number | null)[]; expected: (number | null)[]
  evaluation: number[]; values: (number | null)[][]; errors: (number | null)[][]
}
export interface Front {
  objectives: Objective[]; scored: number; several: boolean; estimated: string; points: Points; named: Named[]; picks: Picks
  winners: FrontWinner[]; predicted: Predicted | null
}
export interface Row {
  number: number; label: string; state: string; marks: string[]; operators: string; failure: string; genes: Record<string, number | string>
  mean: number | null; expected: number | null; seconds: number | null; [column: string]: unknown
}
export interface Rows { total: number; all: number; genes: { key: string; name: string }[]; rows: Row[] }
export interface Query {
  sort: string; order: 'up' | 'down'; offset: number; limit: number; state: string; text: string; starred: boolean
  only: number[] | null; column: string; least: string; most: string
}
export interface GeneMap {
  parameter: string; rows: string[]; columns: { label: string; layers: [number, number] | null }[]; values: (number | null)[][]
  operators: string[][]; axis: string
}
export interface TaskScore { task: string; mean: number; stderr: number; items: number }
export interface Detail {
  number: number; title: string; label: string; state: string; marks: string[]; operators: string; objectives: Shown[]
  mean: number | null; expected: number | null; parent: { name: string; number: number; objectives: Shown[]; mean: number } | null
  splits: Record<string, { tasks: TaskScore[]; objectives: Shown[] }>; seconds: number | null; work: string
  failure: { stage: string; reason: string; traceback: string } | null; recipe: unknown; path: string; maps: GeneMap[]
  genes: Record<string, number | string | null>
}
export interface Compared { name: string; items: number; a: number | null; b: number | null; difference: Interval | null; lower: boolean }
export interface ComparedSplit {
  items: number; won: number; lost: number; mean: Compared | null; objectives: Compared[]; tasks: Compared[]
  listed: { item: string; a: number; b: number; won: boolean; question?: string; gold?: string; answer_a?: string; answer_b?: string }[]
}
export interface Comparison { splits: Record<string, ComparedSplit>; recipe: { at: string; a: string; b: string }[] }
export interface Curve {
  name: string; about: string; evaluation: number[]; hours: (number | null)[]; candidate: number[]; values: (number | null)[]
  reference: number | null; objective?: number
}
export interface Search {
  curves: Curve[]; points: { number: number[]; evaluation: number[]; hours: number[]; mean: (number | null)[] }; evaluations: number; hours: number
  computed: { unit: string; evaluation: number[]; hours: number[] }
  importances: { genes: { name: string; shares: number[] }[]; candidates: number; needed: number; objectives: string[] }
  bought: { best: { number: number; name: string; mean: number; stderr: number; observed: number }; parent: Leader | null; recipe: Leader | null } | null
  timeline: { lanes: number; names: string[]; bars: [number, number, number, number, number][]; left_out: number; utilisation: number | null; median: number | null; busy: number }
  failures: { stage: string; reason: string; candidates: number[]; count: number; traceback: string }[]
  items: { saving: number; says: boolean; answered: number } | null; stops: { reason: string; count: number; items: number }[]; versions: Record<string, string>; campaign: string
}
export interface Leader { number: number; name: string; mean: number }
export interface VerdictRow {
  name: string; candidate: number; kind: string; role: string; picks: string; mean: number; objectives: Shown[]; difference: Interval | null
}
export interface VerdictWinner {
  candidate: number; picks: string[]; standing: string; wins: boolean; verdict: string; facts: string[]
  comparisons: { name: string; kind: string; mean: Interval; objectives: Interval[] }[]; gap: Interval | null
  score: { observed: number; expected: number } | null; bought: { recipe: string; confidence: number; difference: Interval } | null
  flips_against: string; flips: { objective: string; gained: number; lost: number; n_items: number }[]
}
export interface Verdict {
  standing: string; headline: string; objectives: Objective[]; verified: boolean; split: string; chosen_on: string; number: number
  told: number | null; now: number; best_parent: string; gap: string; rows: VerdictRow[]; winners: VerdictWinner[]
  dropped: { pick: string; candidate: number; why: string }[]; constraints: string[]; final: { candidate: number; lines: string[] } | null
}
export interface Note { star: boolean; text: string; at?: number | null }
export type Notes = Record<string, Note>
