// An interval on a line with a scale: where it is, and on which side of a reference.
export interface Scale { low: number; high: number }

export function scaleOf(values: (number | null | undefined)[], around = 0): Scale {
  const known = [around, ...values.filter((v): v is number => typeof v === 'number' && Number.isFinite(v))]
  const low = Math.min(...known), high = Math.max(...known), margin = 0.06 * (high - low) || 0.5
  return { low: low - margin, high: high + margin }
}

interface Given { value: number; low: number; high: number; scale: Scale; zero?: number; lower?: boolean; tone?: string; label: string }

export function Whisker({ value, low, high, scale, zero = 0, lower = false, tone, label }: Given) {
  const x = (v: number) => (100 * (v - scale.low)) / (scale.high - scale.low)
  const side = low > zero ? (lower ? 'bad' : 'good') : high < zero ? (lower ? 'good' : 'bad') : 'open'
  return (
    <svg class={`whisker ${tone ?? side}`} viewBox="0 0 100 16" preserveAspectRatio="none" role="img" aria-label={label}>
      <line class="zero" x1={x(zero)} x2={x(zero)} y1="0" y2="16" vector-effect="non-scaling-stroke" />
      <line class="bar" x1={x(low)} x2={x(high)} y1="8" y2="8" vector-effect="non-scaling-stroke" />
      <line class="dot" x1={x(value)} x2={x(value)} y1="8" y2="8" vector-effect="non-scaling-stroke" />
    </svg>
  )
}
