import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { claim, driver, snapshotClass, volumeOf } from '../../../test/plan/world.ts'
import type {
  LabelSelector,
  PersistentVolume,
  PersistentVolumeClaim,
  VolumeSnapshotClass,
} from '../../api/kubernetes.ts'
import { matches, readinessOf, selectorText } from './selection.ts'

const fast = snapshotClass('fast')
const rows: readonly (readonly [
  what: string,
  given: {
    readonly claim?: PersistentVolumeClaim
    readonly volumes?: readonly PersistentVolume[]
    readonly classes?: readonly VolumeSnapshotClass[]
    readonly named?: string
  },
  outcome: string,
  message?: RegExp,
])[] = [
  ['the one class of the driver is taken', {}, 'class fast'],
  ['a class of another driver is none', { classes: [snapshotClass('other', { driver: 'nfs' }), fast] }, 'class fast'],
  [
    'the default among several classes is taken',
    { classes: [fast, snapshotClass('slow', { isDefault: true })] },
    'class slow',
  ],
  [
    'several classes and no default are ambiguous, and named',
    { classes: [fast, snapshotClass('slow')] },
    'AmbiguousSnapshotClass',
    /none of fast, slow is annotated as default/,
  ],
  [
    'two defaults are ambiguous, and named',
    { classes: [snapshotClass('a', { isDefault: true }), snapshotClass('b', { isDefault: true }), fast] },
    'AmbiguousSnapshotClass',
    /a, b are all annotated/,
  ],
  ['the class that the policy names is taken', { classes: [fast, snapshotClass('slow')], named: 'slow' }, 'class slow'],
  [
    'a named class that does not exist names those that do',
    { named: 'fats' },
    'SnapshotClassNotFound',
    /fats does not exist; .*: fast/,
  ],
  [
    'a named class of another driver names those that would do',
    { classes: [fast, snapshotClass('nfs', { driver: 'nfs' })], named: 'nfs' },
    'DriverMismatch',
    /driver nfs.*csi\.example\.com.*fast/,
  ],
  ['no class at all', { classes: [] }, 'NoSnapshotClass', /csi\.example\.com/],
  [
    'a claim without a volume',
    { claim: claim('data', { status: { phase: 'Pending' }, spec: {} }) },
    'PVCPending',
    /a pod uses it/,
  ],
  ['a claim whose volume is lost', { claim: claim('data', { status: { phase: 'Lost' } }) }, 'PVCLost'],
  [
    'a claim that is being deleted',
    { claim: claim('data', { metadata: { deletionTimestamp: '2026-01-05T00:00:00Z' } }) },
    'PVCGone',
  ],
  ['a volume that is not known yet', { volumes: [] }, 'PVCPending', /not known yet/],
  [
    'a volume that is not of a CSI driver',
    { volumes: [volumeOf('data', 'none')] },
    'NotACsiVolume',
    /use strategy job/,
  ],
  [
    'a block volume',
    { claim: claim('data', { spec: { volumeName: 'volume-of-data', volumeMode: 'Block' } }) },
    'class fast',
  ],
]

suite('whether a claim can be snapshotted, and with which class:', () => {
  for (const [
    what,
    { claim: of = claim('data'), volumes = [volumeOf('data')], classes = [fast], named },
    outcome,
    message,
  ] of rows)
    test(what, () => {
      const readiness = readinessOf(of, new Map(volumes.map(volume => [volume.metadata.name, volume])), classes, named)
      assert.equal(readiness.ready ? `class ${readiness.className}` : readiness.reason, outcome)
      if (message) assert.match(readiness.ready ? '' : readiness.message, message)
    })
})

test('the deletion policy of the class is told', () => {
  const readiness = readinessOf(
    claim('data'),
    new Map([['volume-of-data', volumeOf('data', { driver })]]),
    [snapshotClass('fast', { deletionPolicy: 'Delete' })],
    undefined,
  )
  assert.deepEqual(readiness, { ready: true, className: 'fast', deletionPolicy: 'Delete' })
})

const selectors: readonly (readonly [
  LabelSelector,
  string,
  readonly (Record<string, string> | undefined)[],
  readonly (Record<string, string> | undefined)[],
])[] = [
  [
    { matchLabels: { app: 'db', tier: 'gold' } },
    'app=db,tier=gold',
    [{ app: 'db', tier: 'gold', x: 'y' }],
    [{ app: 'db' }, {}, undefined],
  ],
  [
    { matchExpressions: [{ key: 'app', operator: 'In', values: ['db', 'web'] }] },
    'app in (db,web)',
    [{ app: 'web' }],
    [{ app: 'x' }, undefined],
  ],
  [
    { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['db'] }] },
    'app notin (db)',
    [{ app: 'x' }, {}, undefined],
    [{ app: 'db' }],
  ],
  [{ matchExpressions: [{ key: 'app', operator: 'Exists' }] }, 'app', [{ app: '' }], [{}, undefined]],
  [{ matchExpressions: [{ key: 'app', operator: 'DoesNotExist' }] }, '!app', [{}, undefined], [{ app: '' }]],
  [
    { matchLabels: { app: 'db' }, matchExpressions: [{ key: 'old', operator: 'DoesNotExist' }] },
    'app=db,!old',
    [{ app: 'db' }],
    [{ app: 'db', old: '' }, { old: '' }],
  ],
]
for (const [selector, text, selected, others] of selectors)
  test(`the selector ${text} means the same to us as to the API server`, () => {
    assert.equal(selectorText(selector), text)
    for (const labels of selected) assert.ok(matches(selector, labels), JSON.stringify(labels))
    for (const labels of others) assert.ok(!matches(selector, labels), JSON.stringify(labels))
  })
