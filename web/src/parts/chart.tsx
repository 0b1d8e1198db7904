// One drawing of ECharts: made once, given options, resized, read aloud by its label.
import { BarChart, CustomChart, LineChart, ParallelChart, ScatterChart } from 'echarts/charts'
import { BrushComponent, DataZoomInsideComponent, GridComponent, MarkLineComponent, ParallelComponent, TooltipComponent } from 'echarts/components'
import * as echarts from 'echarts/core'
import { CanvasRenderer } from 'echarts/renderers'
import { useEffect, useRef } from 'preact/hooks'
import { theme } from '../state'

echarts.use([BarChart, CustomChart, LineChart, ParallelChart, ScatterChart, BrushComponent, DataZoomInsideComponent,
  GridComponent, MarkLineComponent, ParallelComponent, TooltipComponent, CanvasRenderer])

export type Option = Record<string, unknown>
export type Drawing = echarts.ECharts

interface Given {
  option: Option
  label: string
  height: number
  patient?: boolean // redrawn once what a person waits for is
  ready?: (drawing: Drawing) => void
  keys?: (event: KeyboardEvent) => void
}

export function Chart({ option, label, height, patient = false, ready, keys }: Given) {
  const place = useRef<HTMLDivElement>(null)
  const drawing = useRef<Drawing | null>(null)
  useEffect(() => {
    const made = echarts.init(place.current, null, { renderer: 'canvas' })
    drawing.current = made
    ready?.(made)
    const seen = new ResizeObserver(() => made.resize())
    seen.observe(place.current!)
    return () => { seen.disconnect(); made.dispose(); drawing.current = null }
  }, [])
  useEffect(() => {
    const draw = () => drawing.current?.setOption(option, { replaceMerge: ['series', 'grid', 'xAxis', 'yAxis'] })
    if (!patient) { draw(); return }
    const timer = setTimeout(draw, 50)
    return () => clearTimeout(timer)
  }, [option])
  return <div ref={place} class="chart" style={{ height: `${height}px` }} role="img" aria-label={label}
    tabIndex={keys ? 0 : undefined} onKeyDown={keys} />
}

export interface Palette { ink: string; muted: string; line: string; card: string; paper: string; dominated: string; front: string; knee: string
  winner: string; good: string; bad: string; teal: string; band: string; serif: string; sans: string }

export function palette(): Palette {
  void theme.value
  const style = getComputedStyle(document.documentElement)
  const of = (name: string) => style.getPropertyValue(`--${name}`).trim()
  return { ink: of('ink'), muted: of('muted'), line: of('line'), card: of('card'), paper: of('paper'), dominated: of('dominated'),
    front: of('front'), knee: of('knee'), winner: of('winner'), good: of('good'), bad: of('bad'), teal: of('teal'), band: of('band'),
    serif: of('serif'), sans: of('sans') }
}

export function axis(colours: Palette, name: string, more: Option = {}): Option {
  return {
    type: 'value', name, nameLocation: 'middle', nameGap: 28, scale: true,
    nameTextStyle: { color: colours.muted, fontSize: 12 }, axisLabel: { color: colours.muted, fontSize: 11, hideOverlap: true },
    axisLine: { show: true, lineStyle: { color: colours.line } }, axisTick: { show: false },
    splitLine: { lineStyle: { color: colours.line, opacity: 0.6 } }, ...more,
  }
}

export function tip(colours: Palette): Option {
  return { trigger: 'item', confine: true, backgroundColor: colours.card, borderColor: colours.line, padding: [8, 10],
    textStyle: { color: colours.ink, fontSize: 12, fontFamily: colours.sans }, transitionDuration: 0 }
}

// Names are data: what a tooltip shows is text of elements, never markup.
export function told(head: string, lines: [string, string][]): HTMLElement {
  const box = document.createElement('div')
  box.appendChild(document.createElement('b')).textContent = head
  for (const [name, value] of lines) {
    const row = box.appendChild(document.createElement('div'))
    row.className = 'tip-row'
    row.appendChild(document.createElement('span')).textContent = name
    row.appendChild(document.createElement('span')).textContent = value
  }
  return box
}
