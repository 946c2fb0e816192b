// Flowise counts tokens with tables that it fetches from the internet when it answers, and
// waits long for them where there is none. This answers that one fetch with the same
// tables, which are installed with it, so that it does its whole work without a network.
'use strict'

const PLACE = 'https://tiktoken.pages.dev/js/'
const { createRequire } = require('node:module')
const fromFlowise = createRequire(process.env.VERSUS_FLOWISE_DIR + '/')
const fetched = globalThis.fetch

globalThis.fetch = (input, init) => {
    const url = String(input?.url ?? input)
    if (!url.startsWith(PLACE)) return fetched(input, init)
    const name = url.slice(PLACE.length).replace(/\.json$/, '')
    if (!/^[a-z0-9_]+$/.test(name)) return Promise.reject(new TypeError('no such table'))
    return Promise.resolve(Response.json(fromFlowise(`js-tiktoken/ranks/${name}`)))
}
