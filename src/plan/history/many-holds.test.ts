// `kubectl annotate backup --all backup.dev/hold=true` on a policy with retention 1000 (the schema's maximum, scheduled and on demand each).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { annotation } from '../../api/labels.ts'
import { storeLocation } from '../../resources/desired-state.ts'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import { at, completed, policy, scheduled, world } from '../../../test/plan/world.ts'

const store = storeLocation(policy().spec.backend ?? assert.fail())

for (const mark of [annotation.hold, annotation.accepted])
  test(`more Backups annotated ${mark} than a task has room for: the plan goes on, and holds are written`, () => {
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
