// Operators on a spawned control plane: the chart installed, and processes that run with its ServiceAccount's token.
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { tail } from '../../../dev/command.ts'
import { eventually } from '../../../dev/eventually.ts'
import { copyUpstreamFiles, snapshotCrds } from '../../../dev/upstream-files.ts'
import { managerName } from '../../../src/api/labels.ts'
import { leases } from '../../../src/controllers/shared/resources.ts'
import type { Client } from '../../../src/runtime/client/client.ts'
import { installChart, releaseName, releaseNamespace } from '../../chart/chart.ts'
import { bundledEnvironment, bundledProgram } from '../../runner/bundled-program.ts'
import { freePort } from '../../runner/free-port.ts'
import type { ControlPlane } from '../control-plane/control-plane.ts'
import type { OperatorProcessOptions } from './operator-process.ts'
import { kill, spawnRecorded, type Spawned } from '../control-plane/run-directory.ts'

/** What the chart's fence lets the operator put into pods. */
const [repository, tag] = ['localhost/backup-operator', 'dev']

export type RunningOperator = Spawned & {
  readonly metrics: () => Promise<string>
  /** SIGKILL, and waits until it is gone. */
  readonly kill: () => Promise<void>
  /** Asks it to stop, as the kubelet does. */
  readonly terminate: () => void
  /** Starts it once more after its end, as the kubelet does: same token and ports. Needs no API server. */
  readonly again: () => Promise<RunningOperator>
}

/** Installs the chart without its Deployment's pods, which nobody runs here, and waits until its admission policies can answer. */
export async function installOperatorChart(plane: ControlPlane, values: readonly string[] = []): Promise<void> {
  await installChart(plane, [...values, `image.repository="${repository}"`, `image.tag="${tag}"`])
  await plane.kubectl(['wait', '--for=condition=Established', '--timeout=30s', 'crd', '--all'])
}

const snapshotKinds = ['volumesnapshots', 'volumesnapshotclasses', 'volumesnapshotcontents']

/** The CRDs of external-snapshotter that the operator looks at. */
export async function installSnapshotCrds(plane: ControlPlane): Promise<void> {
  await copyUpstreamFiles()
  const files = (await readdir(snapshotCrds)).filter(file => snapshotKinds.some(kind => file.endsWith(`_${kind}.yaml`)))
  if (files.length !== snapshotKinds.length) throw new Error(`${snapshotCrds} holds ${files.join(', ') || 'nothing'}`)
  await plane.kubectl(['apply', '--server-side', ...files.flatMap(file => ['-f', join(snapshotCrds, file)])])
  await plane.kubectl(['wait', '--for=condition=Established', '--timeout=30s', 'crd', '--all'])
}

/** Starts one operator. `url`: of the API server, unless something stands in front of it. */
export async function startOperator(plane: ControlPlane, identity: string, url = plane.url): Promise<RunningOperator> {
  const directory = dirname(plane.kubeconfig)
  const token = await plane.serviceAccountToken(releaseNamespace, releaseName)
  const [metricsPort, healthPort] = [await freePort(), await freePort()]
  const options: OperatorProcessOptions = {
    config: { url, ca: plane.ca, token },
    settings: { image: `${repository}:${tag}`, imagePullPolicy: 'IfNotPresent', imagePullSecrets: [] },
    namespace: releaseNamespace,
    identity,
    metricsPort,
    healthPort,
    workers: 4,
  }
  const file = join(directory, `operator-${identity}.json`)
  await writeFile(file, JSON.stringify(options), { mode: 0o600 })
  const program = await bundledProgram('test/api/operator/operator-process.ts')
  const again = async (): Promise<RunningOperator> => {
    const spawned = await spawnRecorded(directory, process.execPath, [program, file], bundledEnvironment)
    return {
      ...spawned,
      metrics: async () => (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text(),
      kill: () => kill(spawned),
      terminate: () => void process.kill(spawned.pid, 'SIGTERM'),
      again,
    }
  }
  return again()
}

/** Waits with the end of the operator's log as part of the error: without it such a failure says nothing. */
export async function eventuallyBy<T>(
  operator: { readonly log: string },
  what: string,
  condition: () => Promise<T> | T,
  seconds: number,
): Promise<NonNullable<T>> {
  try {
    return await eventually(what, condition, { seconds })
  } catch (error) {
    throw new Error(`no ${what}; the operator's last words:\n${await tail(operator.log)}`, { cause: error })
  }
}

/** What time does to the lease of an operator that was killed, without the wait. */
export async function expireLease(admin: Client): Promise<void> {
  await admin.delete(leases, releaseNamespace, managerName)
}

export const readLog = (operator: { readonly log: string }) => readFile(operator.log, 'utf8')
