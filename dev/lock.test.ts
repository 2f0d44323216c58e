import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test, type TestContext } from 'node:test'

/** A process that prints `in` when it has the lock, and `out` before it frees it, once its standard input ends. */
function locker(t: TestContext, cache: string) {
  const program = `
    import { withLock } from ${JSON.stringify(join(import.meta.dirname, 'lock.ts'))}
    await withLock('test', async () => {
      console.log('in')
      for await (const _ of process.stdin);
      console.log('out')
    })`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    env: { PATH: process.env.PATH, XDG_CACHE_HOME: cache },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  t.after(() => child.kill('SIGKILL'))
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const words = createInterface(child.stderr)[Symbol.asyncIterator]()
  const next = async (from: AsyncIterator<string>) => ((await from.next()) as { readonly value?: string }).value
  return { child, said: () => next(lines), complained: () => next(words) }
}

function scratch(t: TestContext): string {
  const cache = mkdtempSync(join(tmpdir(), 'lock-'))
  t.after(() => rmSync(cache, { recursive: true }))
  return cache
}

test('a second process waits, says for what, and goes on when the first is done', async t => {
  const cache = scratch(t)
  const first = locker(t, cache)
  assert.equal(await first.said(), 'in')
  const second = locker(t, cache)
  assert.match((await second.complained()) ?? '', /waiting for another process, which has the lock .*\/locks\/test$/)
  let entered = false
  const entering = second.said().then(word => ((entered = true), word))
  first.child.stdin.end()
  assert.equal(await first.said(), 'out')
  assert.equal(entered, false, 'not before the first is done')
  assert.equal(await entering, 'in')
  const ended = once(second.child, 'exit')
  second.child.stdin.end()
  assert.deepEqual(await ended, [0, null])
})

test('the lock of a killed process is free at once, also for the one that waits', async t => {
  const cache = scratch(t)
  const first = locker(t, cache)
  assert.equal(await first.said(), 'in')
  const second = locker(t, cache)
  await second.complained()
  first.child.kill('SIGKILL')
  assert.equal(await second.said(), 'in')
  const ended = once(second.child, 'exit')
  second.child.stdin.end()
  assert.deepEqual(await ended, [0, null])
})
