// Measures a studio by the page's own clock, milliseconds as JSON: node tests/speed.mjs CHROMIUM ADDRESS
// First paint: from navigation to the front's drawing. Others: from the event to the frame that shows its outcome.
import { chromium } from 'playwright-core'

const [, , program, address] = process.argv
const browser = await chromium.launch({ executablePath: program, args: ['--no-sandbox', '--disable-gpu'] })
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
page.setDefaultTimeout(120000)
const found = {}

// Until something is true of the page, and then painted.
const timed = (act, done) => page.evaluate(([first, then]) => new Promise((told) => {
  const [begin, is] = [new Function(first), new Function(`return ${then}`)]
  const began = performance.now()
  begin()
  const look = () => (is() ? requestAnimationFrame(() => setTimeout(() => told(Math.round(performance.now() - began)))) : setTimeout(look, 1))
  look()
}), [act, done])

for (const name of ['opened', 'again']) { // the first reads the archive
  await page.goto('about:blank')
  await page.goto(`${address}#//front`)
  await page.waitForFunction(() => document.querySelector('.front .chart canvas'), null, { polling: 'raf' })
  found[`paint_${name}`] = await page.evaluate(() => new Promise((told) => requestAnimationFrame(() => setTimeout(() => told(Math.round(performance.now()))))))
}
await page.waitForSelector('.candidate h3')
await page.waitForTimeout(1500)
await page.click('text=Select an area')
const box = await page.locator('.front .chart').first().boundingBox()
await page.mouse.move(box.x + 0.4 * box.width, box.y + 150)
await page.mouse.down()
await page.mouse.move(box.x + 0.6 * box.width, box.y + 300, { steps: 4 })
await page.evaluate(() => { addEventListener('mouseup', () => { globalThis.began = performance.now() }, true)
  new MutationObserver(() => { if (!globalThis.brushed && document.querySelector('button.clear')) requestAnimationFrame(() => setTimeout(() => { globalThis.brushed = performance.now() - globalThis.began })) }).observe(document.body, { childList: true, subtree: true }) })
await page.mouse.up()
await page.waitForFunction(() => globalThis.brushed)
found.brush = Math.round(await page.evaluate(() => globalThis.brushed))
await page.click('button.clear')
await page.click('nav >> text=Candidates')
await page.waitForSelector('.pager')
const row = "document.querySelector('.grid tbody tr')?.textContent"
for (const name of ['sort_first', 'sort', 'sort_back']) {
  const column = name === 'sort_first' ? 'seconds' : 'expected'
  await page.evaluate(() => { globalThis.before = document.querySelector('.grid tbody').textContent })
  found[name] = await timed(`[...document.querySelectorAll('thead button')].find((b) => b.textContent.startsWith('${column}')).click()`, name === 'sort_first' ? "document.querySelector('th[aria-sort] button').textContent.startsWith('seconds')" : "document.querySelector('.grid tbody').textContent !== globalThis.before")
  await page.waitForTimeout(700)
}
found.filter = await timed("const at = document.querySelector('input[type=search]'); at.value = '77'; at.dispatchEvent(new Event('input', { bubbles: true }))", `!${row}.startsWith('x') && /of \\d+ \\(/.test(document.querySelector('.pager span').textContent)`)
console.log(JSON.stringify(found))
await browser.close()
