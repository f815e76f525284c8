// Runs the public suite of tests for HTTP caches (npm: http-cache-tests): its endpoint and its client in this one process, and the cache
// under test between them. The suite's own programs would listen on every address, and take a whole npm along.
//
//   node run.mjs PORT BASE FILE [ID]
//
// The endpoint listens on 127.0.0.1:PORT, the client asks BASE, and FILE gets an array of what came of each test. With ID, that test alone
// runs, and its requests and answers are shown.

import fs from 'node:fs'
import http from 'node:http'
import process from 'node:process'
import fetch from 'node-fetch'
import { runTests, getResults } from 'http-cache-tests/client/runner.mjs'
import handleConfig from 'http-cache-tests/server/handle-config.mjs'
import handleState from 'http-cache-tests/server/handle-state.mjs'
import handleTest from 'http-cache-tests/server/handle-test.mjs'
import suites from 'http-cache-tests/tests/index.mjs'

const [port, base, file, only] = process.argv.slice(2)

const handlers = { config: handleConfig, state: handleState, test: handleTest }
const server = http.createServer((request, response) => {
  const [, kind, ...rest] = new URL(request.url, base).pathname.split('/')
  const handle = handlers[kind]
  if (handle) return handle(rest, request, response)
  response.writeHead(404).end()
})
await new Promise(resolve => server.listen(Number(port), '127.0.0.1', resolve))

const chosen = suites.map(suite => ({ ...suite, tests: suite.tests.filter(test => !only || test.id === only) }))
if (only) chosen.forEach(suite => suite.tests.forEach(test => { test.dump = true }))
await runTests(chosen, fetch, false, base)

const results = getResults()
const told = []
for (const suite of chosen) {
  for (const test of suite.tests) {
    const found = results[test.id]
    told.push({
      id: test.id,
      suite: suite.id,
      name: test.name,
      kind: test.kind || 'required',
      browser: test.browser_only === true,
      depends: test.depends_on || [],
      passed: found === true,
      why: Array.isArray(found) ? found.join(': ') : ''
    })
  }
}
fs.writeFileSync(file, JSON.stringify(told, null, 1))
process.exit(0)
