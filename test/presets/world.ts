// Worlds of presets: from a file of manifests, or built from what a test is about.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import type { JobStrategy } from '../../src/api/kinds/backup-policy-job.ts'
import { job } from '../../src/api/kinds/backup-policy-job.ts'
import type {
  Deployment,
  ForeignContainer,
  ForeignPod,
  KubernetesObject,
  Service,
  StatefulSet,
} from '../../src/api/kubernetes.ts'
import type { PresetWorld } from '../../src/presets/workloads.ts'

export const namespace = 'shop'

/** All pods of the file are selected. */
export function worldOfFile(name: string): PresetWorld {
  const text = readFileSync(join(import.meta.dirname, 'fixtures', `${name}.yaml`), 'utf8')
  const objects = parseAllDocuments(text).map(document => {
    if (document.errors.length > 0) throw new Error(`${name}.yaml: ${document.errors.join(', ')}`)
    return document.toJS() as KubernetesObject
  })
  const of = <T extends KubernetesObject>(kind: string) => objects.filter(object => object.kind === kind) as T[]
  return {
    namespace,
    pods: of<ForeignPod>('Pod'),
    statefulSets: of<StatefulSet>('StatefulSet'),
    deployments: of<Deployment>('Deployment'),
    services: of<Service>('Service'),
  }
}

export function world(more: Partial<PresetWorld> = {}): PresetWorld {
  return { namespace, pods: [], statefulSets: [], deployments: [], services: [], ...more }
}

type Meta = Partial<KubernetesObject['metadata']>

/** A pod of the StatefulSet `db` that runs PostgreSQL with its password in a Secret. */
export function pod(
  container: Partial<ForeignContainer> = {},
  more: { readonly metadata?: Meta; readonly spec?: Partial<ForeignPod['spec']> } = {},
): ForeignPod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'db-0',
      namespace,
      labels: { app: 'db' },
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'db', uid: 'u1', controller: true }],
      ...more.metadata,
    },
    spec: {
      containers: [
        {
          name: 'postgres',
          image: 'postgres:17',
          env: [{ name: 'POSTGRES_PASSWORD', valueFrom: { secretKeyRef: { name: 'db', key: 'password' } } }],
          ...container,
        },
      ],
      ...more.spec,
    },
    status: { phase: 'Running' },
  }
}

export function service(name: string, spec: Partial<Service['spec']> = {}): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: { selector: { app: 'db' }, ports: [{ port: 5432 }], ...spec },
  }
}

/** As the API server stores it, with the schema's defaults. */
export function preset(spec: object = {}): JobStrategy {
  return job.parse({ preset: 'postgres', ...spec })
}
