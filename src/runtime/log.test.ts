import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from './log.ts'

function logging(): { readonly log: ReturnType<typeof createLog>; readonly lines: () => Record<string, unknown>[] } {
  const written: string[] = []
  const log = createLog({ stream: { write: (line: string) => void written.push(line) } })
  return { log, lines: () => written.map(line => JSON.parse(line) as Record<string, unknown>) }
}

test('a line is JSON with its level as a word, an ISO time and the fields of its child', () => {
  const { log, lines } = logging()
  log.child({ object: 'a/x' }).warn({ attempt: 2 }, 'something')
  log.debug({}, 'too quiet')
  const [{ time, ...line } = {}, ...rest] = lines()
  assert.deepEqual(line, { level: 'warn', object: 'a/x', attempt: 2, message: 'something' })
  assert.equal(new Date(String(time)).toISOString(), time)
  assert.deepEqual(rest, [])
})

test('an error comes with its message, stack and cause', () => {
  const { log, lines } = logging()
  log.error({ err: new Error('outer', { cause: new Error('inner') }) }, 'failed')
  const [line = {}] = lines()
  const { message, stack } = line['err'] as { message: string; stack: string }
  assert.match(message, /outer/)
  assert.match(stack, /inner/)
})

test('fields that hold credentials are never written', () => {
  const { log, lines } = logging()
  log.info({ token: 'canary', request: { authorization: 'canary' }, a: { b: { secretKey: 'canary' } } }, 'x')
  log.child({ password: 'canary' }).info({}, 'y')
  assert.doesNotMatch(JSON.stringify(lines()), /canary/)
})
