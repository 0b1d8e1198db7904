// Looks at every page of a studio in Chromium and prints what it found as JSON: node tests/pages.mjs CHROMIUM ADDRESS RUN [DIR]
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { chromium } from 'playwright-core'

const [, , program, address, run, shots] = process.argv
const [origin, controls] = [new URL(address).origin, new URL(address).searchParams.has('token')]
const names = ['front', 'candidates', 'compare', 'search', 'verdict', ...(controls ? ['control'] : [])]
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const browser = await chromium.launch({ executablePath: program, args: ['--no-sandbox', '--disable-gpu'] })
const found = { troubles: [], outside: [], violations: [], sideways: [], titles: [] }

for (const [width, height] of [[1280, 900], [390, 844]]) {
  for (const colorScheme of ['light', 'dark']) {
    // axe is put into the page by the test, which the page's own policy would rightly refuse.
    const context = await browser.newContext({ viewport: { width, height }, colorScheme, bypassCSP: true })
    const page = await context.newPage()
    page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) found.troubles.push(message.text()) })
    page.on('pageerror', (error) => found.troubles.push(String(error)))
    page.on('request', (request) => { if (new URL(request.url()).origin !== origin && !/^(data|blob):/.test(request.url())) found.outside.push(request.url()) })
    await page.goto(address)
    for (const name of names) {
      await page.goto(`${origin}/#/${run}/${name}`)
      await page.waitForSelector('main .panel h2, main .panel table, main .panel .chart', { timeout: 60000 })
      if (name === 'control') await page.waitForFunction(() => document.querySelector('textarea.code')?.value && document.querySelector('.form input')?.value, null, { timeout: 15000 })
      for (const down of [1, 1, 0]) { // what is made once it is near
        await page.evaluate((share) => scrollTo(0, share * document.body.scrollHeight), down)
        await page.waitForTimeout(250)
      }
      const where = `${name} ${width} ${colorScheme}`
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      if (over > 0) found.sideways.push(`${where}: ${over}`)
      await page.evaluate(axe)
      const told = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] }))
      for (const v of told.violations) found.violations.push(`${where}: ${v.id}: ${v.nodes[0].target} ${v.nodes[0].failureSummary?.split('\n')[1] ?? ''}`)
      if (shots) await page.screenshot({ path: `${shots}/${name}-${width}-${colorScheme}.png`, fullPage: true })
    }
    found.titles.push(await page.title())
    await context.close()
  }
}

// With the policy in force: brushing selects on all pages, the keyboard walks along the front.
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
page.on('console', (message) => { if (message.type() === 'error') found.troubles.push(message.text()) })
const began = Date.now()
await page.goto(`${address}#/${run}/front`)
await page.waitForSelector('.front .chart canvas')
found.painted = Date.now() - began
await page.waitForSelector('.candidate h3')
const head = () => page.locator('.candidate h3').textContent()
await page.focus('.front .chart')
const first = await head()
await page.keyboard.press('ArrowRight')
await page.waitForFunction((before) => document.querySelector('.candidate h3') && document.querySelector('.candidate h3').textContent !== before, first, { timeout: 15000 }).catch(() => undefined) // a front of one has no next
found.walked = [first, await head()]
await page.click('text=Select an area')
const box = await page.locator('.front .chart').first().boundingBox()
await page.mouse.move(box.x + 0.5 * box.width, box.y + 20)
await page.mouse.down()
await page.mouse.move(box.x + 0.75 * box.width, box.y + 200, { steps: 4 })
await page.mouse.move(box.x + 0.97 * box.width, box.y + 420, { steps: 4 })
await page.mouse.up()
await page.waitForSelector('button.clear')
found.selected = parseInt(await page.locator('button.clear').textContent())
await page.click('nav >> text=Candidates')
await page.waitForSelector('.pager')
await page.waitForTimeout(500)
found.kept = await page.locator('.pager span').textContent()
const sorting = Date.now()
await page.click('th button:has-text("expected")')
await page.waitForSelector('th[aria-sort] button:has-text("expected")')
found.sorted = Date.now() - sorting
console.log(JSON.stringify(found))
await browser.close()
