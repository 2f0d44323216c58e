// What the API server refuses for ever, on a real one: a quota without room, admission policies as companies have them. It is told where
// people look, with the server's words, and delays nothing that does not need it (docs/design.md R25).
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { CommandError } from '../../../dev/command.ts'
import { eventually } from '../../../dev/eventually.ts'
import type { Backup } from '../../../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../../../src/api/kinds/backup-policy.ts'
import type { Condition, KubernetesObject } from '../../../src/api/kubernetes.ts'
import * as resources from '../../../src/controllers/shared/resources.ts'
import { Client } from '../../../src/runtime/client/client.ts'
import { clusterHands, type Hands } from '../control-plane/cluster-hands.ts'
import { startControlPlane, type ControlPlane } from '../control-plane/control-plane.ts'
import {
  eventuallyBy,
  installOperatorChart,
  installSnapshotCrds,
  startOperator,
  type RunningOperator,
} from './operator.ts'
import { applyAll, bind, namespaceObjects, onDemand, policyObject, snapshotClass, volume } from './stage.ts'

const [edits, quota, deletions, runs] = ['edits', 'quota', 'deletions', 'runs'] as const
const schedule = '0 0 29 2 *'
const backend = { type: 's3', bucket: 'backups', endpoint: 'http://nowhere.invalid:9000', secretRef: 'minio-creds' }
const dump = (image: string, retention = 2) => ({
  schedule,
  retention,
  backend,
  strategy: { type: 'job', job: { image, args: ['pg_dump', 'shop'] } },
})

let plane: ControlPlane
let admin: Client
let operator: RunningOperator
let hands: readonly Hands[] = []

before(async () => {
  plane = await startControlPlane()
  admin = new Client(plane.adminConfig)
  await installOperatorChart(plane)
  await installSnapshotCrds(plane)
  await applyAll(plane, [
    ...[edits, quota, deletions, runs].flatMap(namespaceObjects),
    ...refusing(
      edits,
      'UPDATE',
      'batch',
      'cronjobs',
      '!object.spec.jobTemplate.spec.template.spec.containers.exists(c, c.image.startsWith("banned/"))',
      'images of banned are not for production',
    ),
    ...refusing(
      runs,
      'CREATE',
      'batch',
      'jobs',
      '!object.spec.template.spec.containers.exists(c, c.image.startsWith("banned/"))',
      'images of banned do not run here',
    ),
    ...refusing(
      deletions,
      'DELETE',
      'snapshot.storage.k8s.io',
      'volumesnapshots',
      'false',
      'nobody deletes a snapshot here',
    ),
    snapshotClass,
    ...volume(deletions, 'data'),
  ])
  await Promise.all([edits, runs, deletions].map(inForce))
  await bind(admin, deletions, 'data')
  await noRoomFor('count/cronjobs.batch')
  hands = [edits, quota, deletions, runs].map(namespace => clusterHands(admin, namespace))
  operator = await startOperator(plane, 'only')
})
after(async () => {
  await operator?.kill()
  await Promise.all(hands.map(each => each.stop()))
  await admin.close()
  await plane.stop()
})

/** A policy engine's rule, for one namespace; a ConfigMap is refused there, too, which tells when it is in force. */
function refusing(
  namespace: string,
  operation: 'CREATE' | 'UPDATE' | 'DELETE',
  group: string,
  plural: string,
  expression: string,
  message: string,
): readonly KubernetesObject[] {
  const metadata = { name: `${namespace}.example.com` }
  const apiVersion = 'admissionregistration.k8s.io/v1'
  const rules = [
    { apiGroups: [group], apiVersions: ['v1'], operations: [operation], resources: [plural] },
    { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['configmaps'] },
  ]
  const validations = [{ expression: `request.resource.resource != 'configmaps' && (${expression})`, message }]
  const policy = {
    apiVersion,
    kind: 'ValidatingAdmissionPolicy',
    metadata,
    spec: { failurePolicy: 'Fail', matchConstraints: { resourceRules: rules }, validations },
  }
  const selector = { matchLabels: { 'kubernetes.io/metadata.name': namespace } }
  const binding = {
    apiVersion,
    kind: 'ValidatingAdmissionPolicyBinding',
    metadata,
    spec: {
      policyName: metadata.name,
      validationActions: ['Deny'],
      matchResources: { namespaceSelector: selector },
    },
  }
  return [policy, binding]
}

/** Waits until the rule of this namespace is: the API server hears of it a moment after it is made. */
async function inForce(namespace: string): Promise<void> {
  const create = ['-n', namespace, 'create', 'configmap', 'any', '--dry-run=server']
  await eventually(
    `the rule of ${namespace} to be in force`,
    async () => {
      const answer: unknown = await plane.kubectl(create).catch((error: unknown) => error)
      return answer instanceof CommandError && answer.stderr.includes(`ValidatingAdmissionPolicy '${namespace}.`)
    },
    { seconds: 60 },
  )
}

/** A quota of nothing, with the status that its controller would write. */
async function noRoomFor(counted: string): Promise<void> {
  const hard = { [counted]: '0' }
  const object = {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: { name: 'none', namespace: quota },
    spec: { hard },
  }
  await applyAll(plane, [object])
  const resource = { group: '', version: 'v1', plural: 'resourcequotas', kind: 'ResourceQuota', namespaced: true }
  const body = { status: { hard, used: { [counted]: '0' } } }
  await admin.patch(resource, quota, 'none', { kind: 'merge', body }, { subresource: 'status' })
}

const policyIn = (namespace: string) => admin.get<BackupPolicy>(resources.backupPolicies, namespace, 'app')

/** The condition once it is as wanted, of the policy as it is now. `words`: where the reason has several, of which one may come first. */
async function condition(
  namespace: string,
  type: string,
  reason: string,
  status: Condition['status'],
  words = /./,
): Promise<Condition> {
  return eventuallyBy(
    operator,
    `${type}=${status}/${reason} in ${namespace}`,
    async () => {
      const policy = await policyIn(namespace)
      if (policy?.status?.observedGeneration !== policy?.metadata.generation) return undefined
      return policy?.status?.conditions?.find(
        each => each.type === type && each.reason === reason && each.status === status && words.test(each.message),
      )
    },
    60,
  )
}

async function completed(namespace: string, name: string): Promise<Backup> {
  await admin.create(resources.backups, onDemand(namespace, name, 'app'))
  return eventuallyBy(
    operator,
    `Backup ${name} of ${namespace} to be Completed`,
    async () => {
      const backup = await admin.get<Backup>(resources.backups, namespace, name)
      return backup?.status?.phase === 'Completed' ? backup : undefined
    },
    60,
  )
}

test('F71: an edit whose CronJob is refused is Ready=False with the words, and runs are made and recorded all the same', async () => {
  await applyAll(plane, [policyObject(edits, 'app', dump('postgres:15'))])
  await condition(edits, 'Ready', 'Ready', 'True')
  await applyAll(plane, [policyObject(edits, 'app', dump('banned/postgres:15', 3))])
  const refused = await condition(edits, 'Ready', 'CronJobRefused', 'False')
  assert.match(refused.message, /images of banned are not for production/)
  await completed(edits, 'now')
  await eventuallyBy(
    operator,
    'the run to be told in the status of the policy',
    async () => (await policyIn(edits))?.status?.lastBackup === 'now',
    30,
  )
  // An edit is a reason to try again at once: nobody waits for a back-off of minutes.
  await applyAll(plane, [policyObject(edits, 'app', dump('postgres:15', 3))])
  await condition(edits, 'Ready', 'Ready', 'True')
})

test('F72: a policy that cannot have a CronJob is not Ready, and says whose quota it is', async () => {
  await applyAll(plane, [policyObject(quota, 'app', dump('postgres:15'))])
  const refused = await condition(quota, 'Ready', 'CronJobRefused', 'False')
  assert.match(refused.message, /exceeded quota: none/)
  assert.equal((await policyIn(quota))?.status?.cronJob, undefined)
  await completed(quota, 'now')
})

test('F73: a run that would be refused is Ready=False before the first one, as long as it would be, and nothing is made for it', async () => {
  await applyAll(plane, [policyObject(runs, 'app', dump('banned/postgres:15'))])
  // The dry run has its turn after those of the policies before; until then the dry start tells.
  await condition(runs, 'Ready', 'RunRefused', 'False', /the Job of a run: .*images of banned do not run here/)
  await eventuallyBy(
    operator,
    'its CronJob to stand all the same',
    async () => (await policyIn(runs))?.status?.cronJob !== undefined,
    30,
  )
  await applyAll(plane, [policyObject(runs, 'app', dump('postgres:15'))])
  await condition(runs, 'Ready', 'Ready', 'True')
  const made = await admin.list<KubernetesObject>(resources.jobs, { namespace: runs })
  assert.deepEqual(
    made.items.filter(({ metadata }) => metadata.labels?.['backup.dev/role'] === 'run'),
    [],
  )
})

/** As the CronJob controller tells it. */
async function warnOfCronJob(reason: string, message: string): Promise<void> {
  const name = (await policyIn(runs))?.status?.cronJob ?? ''
  const cronJob = await admin.get<KubernetesObject>(resources.cronJobs, runs, name)
  const time = `${new Date().toISOString().slice(0, 19)}Z`
  const event = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${name}.${reason.toLowerCase()}`, namespace: runs },
    involvedObject: { apiVersion: 'batch/v1', kind: 'CronJob', name, namespace: runs, uid: cronJob?.metadata.uid },
    type: 'Warning',
    reason,
    message,
    firstTimestamp: time,
    lastTimestamp: time,
  }
  await admin.create<KubernetesObject>(resources.events, event)
}

test('F75: a warning of the CronJob controller is told by the policy, and one that starts no Job makes it not Ready', async () => {
  await warnOfCronJob('UnexpectedJob', 'Saw a job that the controller did not create or forgot: x')
  const warned = await condition(runs, 'CronJobWarned', 'CronJobWarning', 'True')
  assert.match(warned.message, /UnexpectedJob: Saw a job/)
  await warnOfCronJob('UnknownTimeZone', 'invalid timeZone: "Europe/Nowhere"')
  const unready = await condition(runs, 'Ready', 'JobsNotStarted', 'False')
  assert.match(unready.message, /UnknownTimeZone: invalid timeZone/)
})

test('F71: snapshots that a policy engine does not let go are told as RetentionBlocked, and backups go on', async () => {
  await applyAll(plane, [policyObject(deletions, 'app', { schedule, retention: 1, strategy: { type: 'snapshot' } })])
  await condition(deletions, 'Ready', 'Ready', 'True')
  await completed(deletions, 'first')
  await completed(deletions, 'second')
  const blocked = await condition(deletions, 'RetentionBlocked', 'DeletionRefused', 'True')
  assert.match(blocked.message, /delete VolumeSnapshot .*nobody deletes a snapshot here/)
  await completed(deletions, 'third')
  const backups = await admin.list<Backup>(resources.backups, { namespace: deletions })
  assert.deepEqual(
    backups.items.map(({ status }) => status?.phase),
    ['Completed', 'Completed', 'Completed'],
  )
})
