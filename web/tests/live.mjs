// Waits on a page until its summary tells of as many candidates: node tests/live.mjs CHROMIUM ADDRESS RUN COUNT
import { chromium } from 'playwright-core'

const [, , program, address, run, count] = process.argv
const browser = await chromium.launch({ executablePath: program, args: ['--no-sandbox', '--disable-gpu'] })
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
const found = { troubles: [], loads: 0 }
page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) found.troubles.push(message.text()) })
page.on('pageerror', (error) => found.troubles.push(String(error)))
page.on('load', () => found.loads++)
const told = () => page.evaluate(() => Number(document.querySelector('.facts b')?.textContent))
await page.goto(`${address}#/${run}/candidates`)
await page.waitForSelector('.pager')
found.first = await told()
await page.waitForFunction((n) => Number(document.querySelector('.facts b')?.textContent) >= n, Number(count), { timeout: 120000 })
await page.waitForFunction((n) => document.querySelector('.pager span')?.textContent.includes(`of ${n}`), Number(count), { timeout: 20000 })
found.last = await told()
console.log(JSON.stringify(found))
await browser.close()
