import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'

const here = import.meta.dirname

/** A process that listens for shutdown and then does what `body` says, with `shutdown` and `log` in scope. */
function run(body: string, graceMs = 10_000): { readonly child: ChildProcess; readonly output: () => string } {
  const source = `
    import { createLog } from ${JSON.stringify(`${here}/log.ts`)}
    import { listenForShutdown } from ${JSON.stringify(`${here}/shutdown.ts`)}
    const log = createLog()
    const shutdown = listenForShutdown({ log, graceMs: ${graceMs} })
    // Keeps the process alive, and ends it when the test is killed.
    process.stdin.resume().on('end', () => process.exit(3))
    ${body}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['pipe', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', chunk => (output += String(chunk)))
  return { child, output: () => output }
}

async function until(child: ChildProcess, output: () => string, pattern: RegExp): Promise<void> {
  while (!pattern.test(output())) await once(child.stdout as NodeJS.ReadableStream & NodeJS.EventEmitter, 'data')
}

test('SIGTERM aborts the signal, and the process ends by itself with 0', async () => {
  const { child, output } = run(`
    shutdown.signal.addEventListener('abort', () => {
      log.info({ why: shutdown.signal.reason.message }, 'aborted')
      shutdown.exit(0, 'done')
    })
    log.info({}, 'up')`)
  await until(child, output, /"up"/)
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [0, null])
  assert.match(output(), /stopping after SIGTERM/)
  assert.match(output(), /"reason":"done"/)
})

test('whoever does not stop in time is ended, with the reason', async () => {
  const { child, output } = run(`log.info({}, 'up')`, 50)
  await until(child, output, /"up"/)
  child.kill('SIGINT')
  assert.deepEqual(await once(child, 'exit'), [1, null])
  assert.match(output(), /not stopped 0.05 s after SIGINT/)
})

test('a second signal ends the process at once', async () => {
  const { child, output } = run(`log.info({}, 'up')`)
  await until(child, output, /"up"/)
  child.kill('SIGTERM')
  await until(child, output, /"stopping"/)
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [1, null])
  assert.match(output(), /second signal/)
})

test('an error that nobody caught ends the process with 1 and is in the log', async () => {
  const { child, output } = run(`void Promise.reject(new Error('boom'))`)
  assert.deepEqual(await once(child, 'exit'), [1, null])
  assert.match(output(), /boom/)
  assert.match(output(), /unhandledRejection/)
})
