import assert from 'node:assert/strict'
import { test } from 'node:test'
import { at, completed, scheduled } from '../../../test/plan/world.ts'
import { annotation } from '../../api/labels.ts'
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
