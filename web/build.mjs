// Builds the pages into evomerge/results/pages/built. The files are committed, so that a clone needs no node; `sources`
// there names what they were built from, and a test compares it.
import { createHash } from 'node:crypto'
import { copyFileSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const out = '../evomerge/results/pages/built'
await build({
  entryPoints: { studio: 'src/main.tsx' },
  bundle: true, minify: true, format: 'iife', target: ['es2022'], outdir: out, charset: 'utf8', legalComments: 'none',
  jsx: 'automatic', jsxImportSource: 'preact', define: { 'process.env.NODE_ENV': '"production"' }, logLevel: 'warning',
})
await build({ entryPoints: { studio: 'src/studio.css' }, minify: true, outdir: out, logLevel: 'warning' })
for (const name of ['index.html', 'icon.svg']) copyFileSync(`src/${name}`, `${out}/${name}`)

// What is bundled keeps its licences.
const bundled = ['echarts', 'zrender', 'preact', '@preact/signals', '@preact/signals-core', 'tslib']
const licences = bundled.map((name) => {
  const of = `node_modules/${name}`
  const file = readdirSync(of).find((one) => /^licen[cs]e/i.test(one))
  return `${name} ${JSON.parse(readFileSync(`${of}/package.json`, 'utf8')).version}\n\n${readFileSync(`${of}/${file}`, 'utf8').trim()}\n`
})
writeFileSync(`${out}/LICENSES.txt`, licences.join(`\n${'-'.repeat(72)}\n\n`))

const sources = ['package-lock.json', 'build.mjs', 'tsconfig.json', ...below('src')].sort()
const digest = createHash('sha256')
for (const name of sources) digest.update(name + '\0').update(readFileSync(name))
writeFileSync(`${out}/sources`, digest.digest('hex') + '\n')

function below(directory) {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? below(join(directory, entry.name)) : [join(directory, entry.name)])
}
