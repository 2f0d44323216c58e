// The tests beside the sources, in one process: in one each, more than half of what they cost would be its start. Each file is a suite of
// its own. Hooks at its top are for its own tests, and it is named when it cannot be loaded or does not end.
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe } from 'node:test'
import { Worker } from 'node:worker_threads'
import { repository } from '../../dev/paths.ts'

/** Of one file, under load. */
const timeoutSeconds = 120

// Nothing else reaches a test that keeps the thread: neither its own timeout, nor the runner's.
const watchdog = new Worker(
  `const { parentPort } = require('node:worker_threads')
  let timer
  parentPort.on('message', path => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      require('node:fs').writeSync(2, path + ' keeps its thread: all ends here\\n')
      process.kill(process.pid, 'SIGKILL')
    }, ${(timeoutSeconds + 10) * 1000})
  })`,
  { eval: true },
)
watchdog.unref()

for (const path of globSync('src/**/*.test.ts', { cwd: repository }).sort())
  void describe(path, { timeout: timeoutSeconds * 1000 }, async () => {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is not a window
    before(() => watchdog.postMessage(path))
    await import(join(repository, path))
  })
