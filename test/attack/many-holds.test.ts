// Attack: `kubectl annotate backup --all backup.dev/hold=true` on a policy with retention 1000 (the schema's maximum, scheduled and on demand each).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { annotation } from '../../src/api/labels.ts'
import { storeLocation } from '../../src/resources/desired-state.ts'
import { only, planPolicy } from '../plan/planned.ts'
import { at, completed, policy, scheduled, world } from '../plan/world.ts'

const store = storeLocation(policy().spec.backend ?? assert.fail())

for (const mark of [annotation.hold, annotation.accepted])
  test(`held backups are pruned: with 1001 Backups annotated ${mark} the policy has no plan at all any more, so that no hold reaches the bucket or a mover`, () => {
    const backups = Array.from({ length: 1001 }, (_, index) => {
      const slot = new Date(at('02:00').getTime() - index * 60_000)
      const { name } = scheduled(slot).metadata
      return scheduled(slot, {
        metadata: { annotations: { [mark]: 'true' } },
        status: completed(name, slot, { store, bytes: 10 }),
      })
    })
    const seen = world(policy({ retention: 1000, schedule: '* * * * *' }), { backups })
    let actions
    try {
      actions = planPolicy(seen, at('12:00')).actions
    } catch (error) {
      assert.fail(`planPolicy throws, in every pass, for ever: ${(error as Error).message.slice(0, 200)}`)
    }
    assert.ok(only(actions, 'status BackupPolicy').length > 0)
    if (mark === annotation.hold) assert.ok(only(actions, 'create hold Job').length > 0)
  })
