// What the stories of strategy job share: policies, a PostgreSQL, the store's credentials, and waits that say what they saw.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { eventually } from '../dev/eventually.ts'
import { kubectl } from '../dev/cluster-access.ts'
import { repository } from '../dev/paths.ts'
import { releaseNamespace } from '../dev/release.ts'
import type { BackupPhase } from '../src/api/kinds/backup-phases.ts'
import type { Backup, BackupStatus } from '../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../src/api/kinds/backup-policy.ts'
import type { Restore, RestoreStatus } from '../src/api/kinds/restore.ts'
import type { Job, KubernetesObject, Pod } from '../src/api/kubernetes.ts'
import { apiVersion, label } from '../src/api/labels.ts'
import * as resources from '../src/controllers/shared/resources.ts'
import { cluster, patience, postgresImage } from './cluster.ts'
import { storyNamespace } from './namespace.ts'
import { api, put, type Manifest } from './objects.ts'

/** Never in this year: only what a story starts itself runs. */
export const never = '0 0 29 2 *'

export const store = {
  namespace: 'minio',
  pod: 'deployment/minio',
  service: 'service/minio',
  bucket: 'backups',
  endpoint: 'http://minio.minio.svc:9000',
  ...rootUser(),
} as const

export const backend = {
  type: 's3',
  bucket: store.bucket,
  endpoint: store.endpoint,
  secretRef: 'minio-creds',
}

function rootUser() {
  const documents = parseAllDocuments(readFileSync(join(repository, 'examples/minio.yaml'), 'utf8'))
  for (const document of documents) {
    const { kind, metadata, stringData } = document.toJS() as KubernetesObject & {
      readonly stringData?: Readonly<Record<string, string>>
    }
    if (kind === 'Secret' && metadata.namespace === 'minio')
      return { user: stringData?.rootUser ?? '', password: stringData?.rootPassword ?? '' }
  }
  throw new Error('examples/minio.yaml has no Secret with the root user')
}

export function secret(namespace: string, name: string, stringData: Readonly<Record<string, string>>): Manifest {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { namespace, name }, stringData }
}

/** The Secret that `backend` names. */
export function storeSecret(namespace: string, name = 'minio-creds'): Manifest {
  return secret(namespace, name, { rootUser: store.user, rootPassword: store.password })
}

type Fields = Readonly<Record<string, unknown>>

/** A policy of strategy job. @param job fields of strategy.job besides the image @param spec other fields of the spec */
export function jobPolicy(namespace: string, name: string, job: Fields, spec: Fields = {}): Manifest {
  return {
    apiVersion,
    kind: 'BackupPolicy',
    metadata: { namespace, name },
    spec: {
      selector: { matchLabels: { app: 'postgres' } },
      schedule: never,
      retention: 7,
      backend,
      strategy: { type: 'job', job: { image: postgresImage, ...job } },
      ...spec,
    },
  }
}

export function onDemand(namespace: string, name: string, policy = name, target?: string): Manifest {
  return { apiVersion, kind: 'Backup', metadata: { namespace, name }, spec: { policy, ...(target && { target }) } }
}

/** A shell script as the command of a policy. */
export function shell(script: string) {
  return { args: ['sh', '-c', script] }
}

/** A namespace for a story, with the credentials of the store in it. */
export async function storeNamespace(
  t: TestContext,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<string> {
  await storyNamespace(t, name, labels)
  await put(storeSecret(name))
  return name
}

/**
 * PostgreSQL with the database `shop` on an emptyDir, as a `restricted` pod, and its Service; both are called `postgres`. The
 * password comes from the Secret `postgres-credentials`, key `password`.
 */
export function postgres(namespace: string): readonly Manifest[] {
  const labels = { app: 'postgres' }
  const container = {
    name: 'postgres',
    image: postgresImage,
    imagePullPolicy: 'IfNotPresent',
    env: [
      {
        name: 'POSTGRES_PASSWORD',
        valueFrom: { secretKeyRef: { name: 'postgres-credentials', key: 'password' } },
      },
      { name: 'POSTGRES_DB', value: 'shop' },
      { name: 'PGDATA', value: '/data/pg' },
    ],
    readinessProbe: { tcpSocket: { port: 5432 }, periodSeconds: 1 },
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
    volumeMounts: [{ name: 'data', mountPath: '/data' }],
  }
  const pod = {
    terminationGracePeriodSeconds: 0,
    securityContext: { runAsNonRoot: true, runAsUser: 999, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [container],
    volumes: [{ name: 'data', emptyDir: {} }],
  }
  return [
    { apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name: 'postgres', labels }, spec: pod },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace, name: 'postgres' },
      spec: { selector: labels, ports: [{ port: 5432 }] },
    },
  ]
}

/** Waits until a Backup's status is as wanted; says what it is instead when it takes too long. */
export function backupStatus(
  namespace: string,
  name: string,
  wanted: string,
  condition: (status: BackupStatus) => boolean,
  seconds = patience,
): Promise<BackupStatus> {
  return eventually(
    `Backup ${namespace}/${name} to be ${wanted}`,
    async () => {
      const status = (await api.get<Backup>(resources.backups, namespace, name))?.status
      if (status && condition(status)) return status
      throw new Error(`it is ${JSON.stringify(status)}`)
    },
    { seconds },
  )
}

const finalPhases: readonly (BackupPhase | undefined)[] = ['Completed', 'Failed', 'Skipped']

export function backupEnd(namespace: string, name: string, seconds = patience): Promise<BackupStatus> {
  return backupStatus(namespace, name, 'at its end', ({ phase }) => finalPhases.includes(phase), seconds)
}

export type Condition = NonNullable<NonNullable<BackupPolicy['status']>['conditions']>[number]

/** Waits until a condition of a policy is about the present spec and has this reason. */
export function policyCondition(
  namespace: string,
  name: string,
  type: string,
  reason: string,
  seconds = patience,
): Promise<Condition> {
  return eventually(
    `condition ${type} of BackupPolicy ${namespace}/${name} to have the reason ${reason}`,
    async () => {
      const policy = await api.get<BackupPolicy>(resources.backupPolicies, namespace, name)
      const condition = policy?.status?.conditions?.find(each => each.type === type)
      if (condition?.reason === reason && condition.observedGeneration === policy?.metadata.generation) return condition
      throw new Error(`it is ${JSON.stringify(condition)}`)
    },
    { seconds },
  )
}

/** Creates an on-demand Backup and waits for its end. */
export async function run(namespace: string, name: string, policy = name, seconds = patience): Promise<BackupStatus> {
  await put(onDemand(namespace, name, policy))
  return backupEnd(namespace, name, seconds)
}

/** Creates a Restore and waits for its end. */
export async function restoreEnd(namespace: string, name: string, spec: object): Promise<RestoreStatus> {
  await put({ apiVersion, kind: 'Restore', metadata: { namespace, name }, spec })
  return eventually(
    `the end of Restore ${name}`,
    async () => {
      const status = (await api.get<Restore>(resources.restores, namespace, name))?.status
      if (status?.phase === 'Completed' || status?.phase === 'Failed') return status
      throw new Error(`it is ${JSON.stringify(status)}`)
    },
    { seconds: patience },
  )
}

/** The Jobs of a policy's runs. */
export async function runJobs(namespace: string, policy: string): Promise<readonly Job[]> {
  const labelSelector = `${label.policy}=${policy},${label.role}=run`
  return (await api.list<Job>(resources.jobs, { namespace, labelSelector })).items
}

export async function runPods(namespace: string, policy: string): Promise<readonly Pod[]> {
  const labelSelector = `${label.policy}=${policy},${label.role}=run`
  return (await api.list<Pod>(resources.pods, { namespace, labelSelector })).items
}

/** What the operator's pods that are there have logged, also before their last restart: one that loses its lease ends and starts anew. */
export async function operatorLogs(): Promise<string> {
  const where = ['-n', releaseNamespace]
  const selector = ['--selector', 'app.kubernetes.io/name=backup-operator']
  const restarted = '{range .items[?(@.status.containerStatuses[0].restartCount>0)]}{.metadata.name}{"\\n"}{end}'
  const pods = await kubectl(cluster, [...where, 'get', 'pods', ...selector, '-o', `jsonpath=${restarted}`])
  const logs = await Promise.all([
    kubectl(cluster, [...where, 'logs', ...selector, '--tail=-1', '--max-log-requests=10']),
    ...pods
      .split('\n')
      .filter(Boolean)
      .map(pod => kubectl(cluster, [...where, 'logs', pod, '--previous'])),
  ])
  return logs.join('\n')
}

/** A merge patch with kubectl, as a person would do it. */
export async function patch(namespace: string, object: string, body: object): Promise<void> {
  await kubectl(cluster, ['-n', namespace, 'patch', object, '--type=merge', '--patch', JSON.stringify(body)])
}

export async function remove(namespace: string, ...objects: readonly string[]): Promise<void> {
  await kubectl(cluster, ['-n', namespace, 'delete', '--wait=false', ...objects])
}
