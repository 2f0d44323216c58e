import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kept } from '../../../test/plan/kept.ts'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import { at, backup, claim, snapshotPolicy, world } from '../../../test/plan/world.ts'
import type { OwnerReference } from '../../api/kubernetes.ts'
import { annotation, label } from '../../api/labels.ts'

const pod: OwnerReference = { apiVersion: 'v1', kind: 'Pod', name: 'db-0', uid: 'uid-of-db-0', controller: true }

/** A snapshot of a claim `data`, made at 01:00 of the first day. */
function made(more: { readonly ephemeral?: boolean; readonly held?: boolean } = {}) {
  const { backup: of, snapshot } = kept(1, { held: more.held ?? false })
  const labels = { ...snapshot.metadata.labels, ...((more.ephemeral ?? true) ? { [label.ephemeral]: 'true' } : {}) }
  return { of, snapshot: { ...snapshot, metadata: { ...snapshot.metadata, labels } } }
}

/** @param selected of the claims that there are */
function expired(
  { of, snapshot }: ReturnType<typeof made>,
  now: Date,
  claims = [claim('other')],
  selected: typeof claims = claims,
) {
  const { claimUIDs } = world(snapshotPolicy(), { claims })
  const seen = world(snapshotPolicy({ schedule: '0 0 29 2 *' }), {
    claims: selected,
    claimUIDs,
    backups: [of],
    snapshots: [snapshot],
  })
  return only(planPolicy(seen, now).actions, 'delete VolumeSnapshot').map(({ provided }) => provided)
}

const [young, old] = [at('+7d 00:59:59'), at('+7d 01:00')]
const provided = { that: 'no-claim', claim: 'data' }

test('F82: a snapshot says when it is made that its claim goes with the pod that owns it', () => {
  for (const [owners, value] of [
    [[pod], 'true'],
    [[{ ...pod, controller: false }], undefined],
    [[{ ...pod, kind: 'StatefulSet' }], undefined],
    [undefined, undefined],
  ] as const) {
    const of = claim('data', { metadata: owners ? { ownerReferences: owners } : {} })
    const asked = backup('now', { spec: { target: 'data' } })
    const { actions } = planPolicy(world(snapshotPolicy(), { claims: [of], backups: [asked] }), at('12:00'))
    const [snapshot] = only(actions, 'create VolumeSnapshot')
    assert.ok(snapshot)
    assert.equal(snapshot.object.metadata.labels?.[label.ephemeral], value)
  }
})

test('F82: it ends at the age of seven days, when its claim is gone, which is looked at once more', () => {
  assert.deepEqual(expired(made(), young), [])
  assert.deepEqual(expired(made(), old), [provided])
  assert.deepEqual(expired(made(), old, [claim('data')]), [], 'the claim is there: retention decides')
  assert.deepEqual(expired(made({ held: true }), old), [], 'somebody holds it')
})

test('F82: while its claim stands retention decides, also where the policy selects that no more', () => {
  assert.deepEqual(expired(made(), old, [claim('data')], []), [])
})

test('F82: it ends also where the next pod of the name has made another claim of the name', () => {
  const of = made()
  const annotations = { ...of.snapshot.metadata.annotations, [annotation.claimUID]: 'uid-of-claim-data' }
  const known = { ...of, snapshot: { ...of.snapshot, metadata: { ...of.snapshot.metadata, annotations } } }
  const [same, anew] = [claim('data'), claim('data', { metadata: { uid: 'another' } })]
  assert.deepEqual(expired(known, old, [same]), [])
  assert.deepEqual(expired(known, old, [anew]), [{ ...provided, uid: 'uid-of-claim-data' }])
  assert.deepEqual(expired(of, old, [anew]), [], 'of one that does not tell nobody knows')
})

test('F82: one that is unproven may be of any claim of its name, and stays while one of them is there', () => {
  const { of, snapshot } = made()
  const annotations = { ...snapshot.metadata.annotations, [annotation.claimUID]: 'uid of the claim before' }
  const known = { ...snapshot, metadata: { ...snapshot.metadata, annotations } }
  const told = (claimUID: string) => {
    const status = { ...of.status, snapshot: { name: snapshot.metadata.name, claimUID } }
    return { of: { ...of, status }, snapshot: known }
  }
  assert.deepEqual(expired(told('unproven'), old, [claim('data')]), [])
  assert.deepEqual(expired(told('unproven'), old), [provided])
  const uid = 'uid of the claim before'
  assert.deepEqual(expired(told(uid), old, [claim('data')]), [{ ...provided, uid }])
})

test('F82: a claim that somebody deleted by mistake keeps its snapshots, however old they are', () => {
  assert.deepEqual(expired(made({ ephemeral: false }), at('+99d 01:00')), [])
})
