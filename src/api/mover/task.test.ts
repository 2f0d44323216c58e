import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { encodeMoverTask, sourceCommand } from './pod.ts'
import { runsDigest } from './runs-digest.ts'
import { parseMoverTask, type MoverTaskInput } from './task.ts'

const task = {
  version: 1,
  kind: 'backup',
  owner: { clusterId: 'c', namespace: 'shop', policy: 'orders' },
  backend: { bucket: 'backups', prefix: 'a$(HOME)$$' },
  secretName: 'minio-creds',
  target: 'command',
  cronJob: 'backup-orders',
  retention: 7,
  jobDeadlineSeconds: 3600,
} satisfies MoverTaskInput

describe('a mover task', () => {
  test('survives the environment of a pod, where Kubernetes expands dollars', () => {
    const text = encodeMoverTask(task)
    assert.doesNotMatch(text, /\$/)
    assert.equal(parseMoverTask(text).backend.prefix, 'a$(HOME)$$')
  })

  test('has defaults for what the operator leaves out', () => {
    const parsed = parseMoverTask(encodeMoverTask(task))
    assert.ok(parsed.kind === 'backup')
    assert.deepEqual(
      [parsed.artifact, parsed.maxDeletes, parsed.compression, parsed.maxParts, parsed.held],
      ['dump', 20, 'auto', 9_000, []],
    )
  })

  test('that is not one is refused with what is wrong', () => {
    assert.throws(() => parseMoverTask('{'), /not JSON/)
    assert.throws(() => parseMoverTask('{"version":2,"kind":"backup"}'), /one version/)
    assert.throws(() => parseMoverTask(JSON.stringify({ ...task, retention: 0 })), /retention/)
    assert.throws(() => parseMoverTask(JSON.stringify({ ...task, surprise: 1 })), /surprise/)
    assert.throws(() => parseMoverTask(JSON.stringify({ ...task, artifact: '../x' })), /artifact/)
    for (const slots of [{ cronJob: undefined }, { slot: 1 }])
      assert.throws(() => parseMoverTask(JSON.stringify({ ...task, ...slots })), /exactly one of slot and cronJob/)
  })

  test('gives the command of the user container, to which the user line is added word by word', () => {
    assert.deepEqual(sourceCommand({ artifact: 'dump', startTimeoutSeconds: 600 }), [
      '/.backup/busybox',
      'sh',
      '/.backup/init.sh',
      '600',
      '/.backup/artifact',
      'dump',
    ])
  })

  test('digests the same runs equally in any order, and others differently', () => {
    assert.equal(runsDigest(['b', 'a']), runsDigest(['a', 'b']))
    assert.notEqual(runsDigest(['a', 'b']), runsDigest(['ab']))
  })
})
