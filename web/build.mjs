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

const sources = ['package-lock.json', 'build.mjs', 'tsconfig.json', ...below('src')].sort()
const digest = createHash('sha256')
for (const name of sources) digest.update(name + '\0').update(readFileSync(name))
writeFileSync(`${out}/sources`, digest.digest('hex') + '\n')

function below(directory) {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? below(join(directory, entry.name)) : [join(directory, entry.name)])
}
