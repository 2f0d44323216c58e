// What the operator writes must be what its own CRD takes: a status that is refused is no status at all.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backupPolicyStatus } from '../../api/kinds/backup-policy-status.ts'
import { annotation } from '../../api/labels.ts'
import { probeJobName, startJobName } from '../../api/names.ts'
import { stateHash } from '../../resources/desired-state.ts'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import { at, complete, job, pod, policy, saying, stamp, usableStore, world } from '../../../test/plan/world.ts'

const specHash = stateHash(policy().spec.strategy.job)
const usable = usableStore(at('11:00'))

test('the words of a large cluster, of a pod that finds no node, are cut to what the status has room for', () => {
  const of = policy(
    {},
    { status: { store: usable, accountedUntil: stamp(at('02:00')), scheduleSince: stamp(at('00:00')) } },
  )
  const begun = job(startJobName('nightly', of.metadata.uid ?? '', specHash, 0), 'start', {
    metadata: { creationTimestamp: stamp(at('11:50')) },
    spec: { activeDeadlineSeconds: 1200, backoffLimit: 0 },
    status: { active: 1, startTime: stamp(at('11:50')) },
  })
  const taints = Array.from(
    { length: 25 },
    (_, n) => `3 node(s) had untolerated taint {example.com/pool: team-number-${n}}`,
  )
  const message = `0/75 nodes are available: ${taints.join(', ')}. preemption: 0/75 nodes are available: 75 Preemption is not helpful for scheduling.`
  const waits = pod(begun, 1, {
    status: {
      phase: 'Pending',
      conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }],
    },
  })
  const { actions } = planPolicy(world(of, { jobs: [begun], pods: [waits] }), at('11:55'))
  const [write] = only(actions, 'status BackupPolicy')
  const read = backupPolicyStatus.safeParse(write?.status)
  assert.deepEqual(read.error?.issues.map(({ path, message: why }) => `${path.join('.')}: ${why}`) ?? [], [])
})

test('an annotation backup.dev/probe of more than 1024 characters is remembered as far as the status has room', () => {
  const annotations = { [annotation.probe]: 'please '.repeat(150) }
  const status = { store: usable, accountedUntil: stamp(at('02:00')), scheduleSince: stamp(at('00:00')) }
  const of = policy({}, { status, metadata: { annotations } })
  const probe = job(probeJobName('nightly', of.metadata.uid ?? '', usable.backendHash, 1), 'probe', {
    metadata: { creationTimestamp: stamp(at('11:59')) },
    status: complete(at('11:59'), at('12:00')),
  })
  const said = { phase: 'Succeeded', containerStatuses: [saying({ v: 1, phase: 'done' } as never)] } as const
  const { actions } = planPolicy(world(of, { jobs: [probe], pods: [pod(probe, 1, { status: said })] }), at('12:00'))
  const [write] = only(actions, 'status BackupPolicy')
  assert.equal(write?.status.store?.attempts, 2, 'the probe was read')
  const read = backupPolicyStatus.safeParse(write?.status)
  assert.deepEqual(read.error?.issues.map(({ path, message: why }) => `${path.join('.')}: ${why}`) ?? [], [])
})
