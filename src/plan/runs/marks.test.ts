import assert from 'node:assert/strict'
import { test } from 'node:test'
import { at, backup, completed, scheduled } from '../../../test/plan/world.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import { annotation } from '../../api/labels.ts'
import { onDemandJobName } from '../../api/names.ts'
import { marksOf } from './marks.ts'

const now = at('12:00')

test('what is held or accepted travels by the name of the run', () => {
  const held = scheduled(at('01:00'), {
    status: completed('a', now),
    metadata: { annotations: { [annotation.hold]: 'true' } },
  })
  const accepted = scheduled(at('02:00'), {
    status: completed('b', now),
    metadata: { annotations: { [annotation.accepted]: 'true' } },
  })
  const released = scheduled(at('03:00'), {
    status: completed('c', now),
    metadata: { annotations: { [annotation.hold]: 'false' } },
  })
  assert.deepEqual(marksOf([held, accepted, released]), { held: ['a'], accepted: ['b'] })
})

test('F63: what is held before its status is written travels by the run that it is to have', () => {
  const annotations = { [annotation.hold]: 'true' }
  const asked = backup('now', { metadata: { annotations } })
  const ofSlot = scheduled(at('01:00'), { metadata: { annotations } })
  const { held } = marksOf([asked, ofSlot])
  assert.deepEqual(held, [onDemandJobName('nightly', asked.metadata.uid ?? ''), ofSlot.metadata.name])
})

test('F63: beyond the room of a task go only holds that the bucket has, or of what never ran; else nothing is pruned', () => {
  const held = {
    type: 'Held',
    status: 'True',
    reason: 'Held',
    message: '',
    lastTransitionTime: '2026-01-05T00:00:00Z',
  } as const
  const some = (count: number, prefix: string, status: Partial<Backup['status']> = {}) =>
    Array.from({ length: count }, (_, index) =>
      scheduled(new Date(now.getTime() + index * 60_000), {
        metadata: { annotations: { [annotation.hold]: 'true' } },
        status: { ...completed(`${prefix}-${index}`, now), ...status },
      }),
    )
  const inBucket = some(1500, 'told', { conditions: [held] })
  const skipped = some(3, 'vain', { phase: 'Skipped' })
  const failed = some(1, 'doubtful', { phase: 'Failed' })
  const [first, all] = [some(1, 'fresh'), some(1001, 'fresh')]
  const marks = marksOf([...inBucket, ...skipped, ...first])
  assert.equal(marks.maxDeletes, undefined)
  assert.equal(marks.held.length, 1000)
  for (const name of ['vain-0', 'vain-2', 'fresh-0']) assert.ok(marks.held.includes(name), name)
  const full = marksOf([...inBucket, ...skipped, ...all.slice(1)])
  assert.equal(full.maxDeletes, undefined)
  assert.ok(full.held.every(name => name.startsWith('fresh-')))
  assert.equal(marksOf(all).maxDeletes, 0)
  assert.equal(marksOf([...all.slice(1), ...failed]).maxDeletes, 0)
  assert.deepEqual(marksOf(some(1001, 'snapshot', { snapshot: { name: 'of a claim' } })), { held: [], accepted: [] })
})
