// Genes over depth: a recipe's numbers, rows of parents and modules, columns of layers; two recipes share one scale.
import type { GeneMap } from '../data'
import { num, short } from '../words'

export function Depth({ maps, beside = [] }: { maps: GeneMap[]; beside?: GeneMap[] }) {
  if (!maps.length) return <p class="quiet">This recipe has no numbers that lie over depth.</p>
  return <div class="depth">{maps.slice(0, 8).map((map) => <Map key={map.parameter} map={map} range={range([map, ...beside.filter((b) => b.parameter === map.parameter)])} />)}</div>
}

function range(maps: GeneMap[]): [number, number] {
  const known = maps.flatMap((m) => m.values.flat()).filter((v): v is number => v !== null)
  return [Math.min(0, ...known), Math.max(...known, 1e-9)]
}

function Map({ map, range: [low, high] }: { map: GeneMap; range: [number, number] }) {
  const few = map.columns.length <= 16
  return (
    <figure class="map">
      <figcaption><b>{map.parameter}</b> <span class="quiet">{num(low, 2)} <i class="ramp" aria-hidden="true" /> {num(high, 2)}, by {map.axis}</span></figcaption>
      <div class="scroll" tabIndex={0} role="region" aria-label={`${map.parameter} over depth`}>
        <table>
          <thead><tr><td />{map.columns.map((c, k) => <th scope="col" key={k}>{few || k % Math.ceil(map.columns.length / 12) === 0 ? c.label : ''}</th>)}</tr></thead>
          <tbody>
            {map.rows.slice(0, 64).map((row, r) => (
              <tr key={row}>
                <th scope="row" title={row}>{short(row, 30)}</th>
                {map.values[r].map((v, k) => (
                  <td key={k} style={v === null ? undefined : { '--at': `${(100 * (v - low)) / (high - low || 1)}%` }} class={v === null ? 'none' : 'cell'}
                    title={`${row}, ${map.columns[k].label}: ${num(v)} ${map.operators[r][k]}`}>{few && v !== null ? num(v, 2) : ''}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </figure>
  )
}
