import assert from 'node:assert/strict'
import { test } from 'node:test'
import { at, backup, completed, scheduled } from '../../../test/plan/world.ts'
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
