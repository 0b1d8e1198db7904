// A scatter matrix: every pair of objectives, drawn on canvases; a click takes a pair to the large scatter.
import { useEffect, useRef } from 'preact/hooks'
import type { Front } from '../data'
import { palette } from '../parts/chart'
import { picked, selection, theme } from '../state'
import { num } from '../words'

const MOST = 3000

export function Matrix({ front }: { front: Front }) {
  const m = front.objectives.length
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Scatter matrix">
      <div class="matrix" style={{ '--m': m }}>
        {front.objectives.flatMap((up, y) => front.objectives.map((_, x) => x === y
          ? <div class="name" key={`${x}.${y}`}>{up.name}</div>
          : <Cell key={`${x}.${y}`} front={front} x={x} y={y} />))}
      </div>
    </div>
  )
}

function Cell({ front, x, y }: { front: Front; x: number; y: number }) {
  const canvas = useRef<HTMLCanvasElement>(null)
  useEffect(() => { if (canvas.current) draw(canvas.current, front, x, y) }, [front, x, y, selection.value, picked.value, theme.value])
  const [a, b] = [front.objectives[x], front.objectives[y]]
  const correlation = pearson(front.points.values[x], front.points.values[y])
  return <figure title={`${b.name} over ${a.name}`}><canvas ref={canvas} width={300} height={220} role="img" aria-label={`${b.name} over ${a.name}, correlation ${num(correlation, 2)}`} /><figcaption>r = {num(correlation, 2)}</figcaption></figure>
}

function draw(canvas: HTMLCanvasElement, front: Front, kx: number, ky: number): void {
  const pen = canvas.getContext('2d')!
  const colours = palette()
  const { points } = front
  const [xs, ys] = [points.values[kx], points.values[ky]]
  const place = (column: (number | null)[], size: number, flip: boolean) => {
    const known = column.filter((v): v is number => v !== null)
    const low = Math.min(...known), span = Math.max(...known) - low || 1
    return (v: number) => { const at = 12 + ((v - low) / span) * (size - 24); return flip ? size - at : at }
  }
  const [px, py] = [place(xs, canvas.width, false), place(ys, canvas.height, true)]
  const every = Math.max(1, Math.ceil(points.number.length / MOST))
  pen.clearRect(0, 0, canvas.width, canvas.height)
  const dot = (i: number, size: number, colour: string, opacity: number) => {
    if (xs[i] === null || ys[i] === null) return
    pen.globalAlpha = opacity
    pen.fillStyle = colour
    pen.beginPath()
    pen.arc(px(xs[i]!), py(ys[i]!), size, 0, 7)
    pen.fill()
  }
  const inside = (i: number) => !selection.value || selection.value.has(points.number[i])
  points.number.forEach((_, i) => { if (!points.front[i] && i % every === 0) dot(i, 2.6, colours.dominated, inside(i) ? 0.8 : 0.15) })
  points.number.forEach((_, i) => { if (points.front[i]) dot(i, 4.2, colours.front, inside(i) ? 1 : 0.2) })
  const parents = new Set(front.named.filter((n) => n.kind === 'parent').map((n) => n.number))
  points.number.forEach((n, i) => { if (parents.has(n)) dot(i, 4.6, colours.ink, 1) })
  const shown = picked.value ?? front.picks.candidates.winner ?? front.picks.candidates.knee
  points.number.forEach((n, i) => { if (n === shown) dot(i, 6, colours.knee, 1) })
}

function pearson(a: (number | null)[], b: (number | null)[]): number {
  const pairs = a.map((v, i) => [v, b[i]]).filter((p): p is [number, number] => p[0] !== null && p[1] !== null)
  const mean = (k: 0 | 1) => pairs.reduce((sum, p) => sum + p[k], 0) / pairs.length
  const [ma, mb] = [mean(0), mean(1)]
  const sum = (f: (p: [number, number]) => number) => pairs.reduce((total, p) => total + f(p), 0)
  return sum((p) => (p[0] - ma) * (p[1] - mb)) / Math.sqrt(sum((p) => (p[0] - ma) ** 2) * sum((p) => (p[1] - mb) ** 2) || 1)
}
