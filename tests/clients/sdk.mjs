// Asks questions with flowise-sdk, as its README says, and prints what a
// program that uses it would see.
//
// stdin:  {"options": {"baseUrl", "apiKey"}, "data": {...PredictionData}}
// stdout: {"reply": {...}} or {"events": [...]} or {"thrown": "...", "events": [...]}
import { readFileSync } from 'node:fs'
import sdk from 'flowise-sdk'

async function ask({ options, data }) {
    const events = []
    try {
        const answer = await new sdk.FlowiseClient(options).createPrediction(data)
        if (!answer[Symbol.asyncIterator]) return { reply: answer }
        for await (const event of answer) events.push(event)
        return { events }
    } catch (error) {
        return { thrown: error.message, events }
    }
}

console.log(JSON.stringify(await ask(JSON.parse(readFileSync(0, 'utf8')))))
