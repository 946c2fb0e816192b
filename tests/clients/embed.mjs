// Uses flowise-embed, the chat widget, as a person does: a page of another
// origin loads it, Chromium shows it, and clicks and keys go to what is shown.
//
// stdin:  {"chromium", "screenshot", "apiHost", "chatflowid", "steps": [{"do": name, ...}]}
// stdout: {"bot": [...], "guest": [...], "saw": {step: ...}, "calls": [...], "errors": [...]}
import { readFileSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const LIMIT_MS = 120_000
const FLAGS = [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
]
const WIDGET = new URL('../node_modules/flowise-embed/dist/web.js', import.meta.url)

const job = JSON.parse(readFileSync(0, 'utf8'))

const bot = (page) => page.locator('.bot-markdown-content[data-testid="host-bubble"]')
const guest = (page) => page.locator('[data-testid="guest-bubble"]')
const input = (page) => page.locator('textarea').first()

// What a person can do, by name. Each gives what can be seen only then.
const steps = {
    open: async (page) => {
        await page.locator('button[part="button"]').click()
        await bot(page).first().waitFor()
    },
    starterPrompts: (page) => starters(page).first().waitFor().then(() => starters(page).allInnerTexts()),
    clickStarterPrompt: (page, { text }) => answered(page, () => starters(page).getByText(text).click()),
    ask: (page, { text }) => answered(page, () => type(page, text)),
    image: async (page, { file, text }) => {
        await page.locator('input[type="file"]').first().setInputFiles(inMemory(file))
        await answered(page, () => type(page, text))
    },
    attachment: async (page, { file, text }) => {
        await page.locator('input[type="file"]').last().setInputFiles(inMemory(file))
        await called(page, 'POST', '/attachments/', () => answered(page, () => type(page, text)))
    },
    voice: async (page) => {
        await page.locator('.start-recording-button').click()
        // A busy browser may miss the first second.
        await page.getByText(/^00:(0[1-9]|[1-5]\d)$/).waitFor()
        await answered(page, () => page.locator('[data-testid="input"] button').last().click())
    },
    thumbsUp: async (page, { text }) => {
        await called(page, 'POST', '/feedback/', () => page.getByTitle('Thumbs Up').last().click())
        await page.getByPlaceholder('What do you think of the response?').fill(text)
        await called(page, 'PUT', '/feedback/', () => page.getByText('Submit Feedback').click())
    },
    lead: async (page, { name, email, phone }) => {
        await page.locator('input[name="name"]').fill(name)
        await page.locator('input[name="email"]').fill(email)
        await page.locator('input[name="phone"]').fill(phone)
        await called(page, 'POST', '/leads', () => page.locator('form button[type="submit"]').click())
    },
    // The pictures of a conversation that was reloaded come from the server.
    reload: async (page) => {
        await page.reload()
        await steps.open(page)
        await guest(page).first().waitFor()
        const images = guest(page).locator('img')
        for (const image of await images.all()) {
            await image.evaluate((img) => img.complete || new Promise((done) => (img.onload = img.onerror = done)))
        }
        return images.evaluateAll((found) => found.map((img) => img.naturalWidth))
    },
}

const starters = (page) => page.locator('.chatbot-host-bubble:not(.bot-markdown-content)')

async function type(page, text) {
    await input(page).fill(text)
    await input(page).press('Enter')
}

function inMemory({ name, mimeType, base64 }) {
    return { name, mimeType, buffer: Buffer.from(base64, 'base64') }
}

/** Acts, and waits until the call that the widget makes then is answered whole. */
async function called(page, method, path, act) {
    const isIt = (response) => response.url().includes(path) && response.request().method() === method
    const [response] = await Promise.all([page.waitForResponse(isIt), act()])
    await response.finished()
}

/** The same for a question; its answer has its own bubble when the input is open again. */
async function answered(page, act) {
    const before = await bot(page).count()
    await called(page, 'POST', '/api/v1/prediction/', act)
    await bot(page).nth(before).waitFor()
    await page.waitForFunction(isIdle)
}

/** Runs in the page: whether the widget takes the next question. */
function isIdle() {
    const root = document.querySelector('flowise-chatbot').shadowRoot
    const area = root.querySelector('textarea')
    return area && !area.disabled && !root.querySelector('.typing-indicator, .bubble-typing')
}

function html() {
    const props = JSON.stringify({ apiHost: job.apiHost, chatflowid: job.chatflowid, theme: job.theme })
    return `<!doctype html><meta charset="utf-8"><title>A page with a chatbot</title>
        <h1>A page with a chatbot</h1>
        <script type="module">import Chatbot from '/web.js'; Chatbot.init(${props})</script>`
}

function servePage() {
    const server = createServer((request, response) => {
        const isWidget = request.url === '/web.js'
        response.setHeader('content-type', isWidget ? 'text/javascript' : 'text/html')
        response.end(isWidget ? readFileSync(WIDGET) : html())
    })
    return new Promise((ready) => server.listen(0, '127.0.0.1', () => ready(server)))
}

/** Notes what the widget asks of the server, and lets nothing leave this machine. */
async function watch(context, page, report) {
    await context.route((url) => !['127.0.0.1', 'localhost'].includes(url.hostname), (route) => route.abort())
    page.on('pageerror', (error) => report.errors.push(error.message))
    page.on('response', (response) => {
        const { pathname, origin } = new URL(response.url())
        if (origin !== job.apiHost) return
        const type = response.headers()['content-type'] ?? ''
        report.calls.push({ method: response.request().method(), path: pathname, status: response.status(), type })
    })
}

const profile = mkdtempSync(join(tmpdir(), 'widget-'))
const server = await servePage()
const context = await chromium.launchPersistentContext(profile, { executablePath: job.chromium, headless: true, args: FLAGS })
const report = { saw: {}, calls: [], errors: [] }
try {
    const page = context.pages()[0] ?? (await context.newPage())
    page.setDefaultTimeout(LIMIT_MS)
    await watch(context, page, report)
    await page.goto(`http://127.0.0.1:${server.address().port}/`)
    try {
        for (const step of job.steps) report.saw[step.do] = (await steps[step.do](page, step)) ?? null
        report.bot = await bot(page).allInnerTexts()
        report.guest = await guest(page).allInnerTexts()
    } finally {
        // Also of a step that failed: the picture tells more than its message.
        await page.screenshot({ path: job.screenshot })
    }
    console.log(JSON.stringify(report))
} finally {
    await context.close()
    server.close()
    rmSync(profile, { recursive: true, force: true })
}
