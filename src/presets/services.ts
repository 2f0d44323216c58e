// Which Service leads to a server, to its primary where there are copies, and on which port.
import type { ForeignPod, Service } from '../api/kubernetes.ts'
import type { Problem } from './preset.ts'
import type { Server } from './servers.ts'
import { compare, nameOf, roleOf, type WorkloadPods } from './workloads.ts'

export type Reached =
  | { readonly is: 'reached'; readonly host: string; readonly port: number; readonly notes: readonly string[] }
  | { readonly is: 'problem'; readonly problem: Problem }

const field = 'strategy.job.connection.host'

/**
 * The Service that selects a pod of the workload and serves the server's port. Those with an address of their own come first, then those
 * that lead to the primary, then those of the cluster alone, then the one that is called as the workload or governs it.
 * One that selects servers of other workloads, too, is never taken: the dump would be of whoever answers.
 * @param others the pods of those
 * @param known the Service that an operator keeps for the primary; it is taken whatever it selects, because its endpoints may be written by others
 */
export function serviceOf(
  { workload, pods, governingServices }: WorkloadPods,
  server: Server,
  others: readonly ForeignPod[],
  services: readonly Service[],
  namespace: string,
  known: { readonly name: string; readonly operator: string } | undefined,
): Reached {
  if (known) {
    const service = services.find(({ metadata }) => metadata.name === known.name)
    const port = service && portOf(service, server)
    if (service && port !== undefined) return reached(service, port, namespace, [])
    return unreached(
      `${known.operator} keeps a Service ${known.name} for ${nameOf(workload)}, and there is none that serves port ${server.port}; write the server's address into ${field}`,
    )
  }
  const leading = services.flatMap(service => {
    const port = pods.some(pod => selects(service, pod)) ? portOf(service, server) : undefined
    return port === undefined ? [] : [{ service, port, rank: rankOf(service, server) }]
  })
  const candidates = leading.filter(({ service }) => !others.some(pod => selects(service, pod)))
  const best = Math.min(...candidates.map(({ rank }) => rank))
  const equals = candidates.filter(({ rank }) => rank === best)
  const called = [workload.name, ...governingServices].flatMap(name =>
    equals.filter(({ service }) => service.metadata.name === name),
  )
  const [chosen] = equals.length > 1 ? called : equals
  if (leading.length > 0 && candidates.length === 0)
    return ambiguous(
      `every Service that leads to ${nameOf(workload)} leads to servers of other workloads as well, so that nobody knows whose data would be dumped`,
      leading.map(({ service, port }) => `${hostOf(service, namespace)}:${port}`),
    )
  if (!chosen && equals.length === 0)
    return unreached(
      `no Service selects the pods of ${nameOf(workload)} and serves port ${server.port}; make one, or write the server's address into ${field}`,
    )
  if (!chosen)
    return ambiguous(
      `several Services lead to ${nameOf(workload)}`,
      equals.map(({ service, port }) => `${hostOf(service, namespace)}:${port}`),
    )
  const { service, port } = chosen
  if (pods.length === 1 || leadsToPrimary(service)) return reached(service, port, namespace, [])
  if (isHeadless(service))
    return ambiguous(
      `${nameOf(workload)} has ${pods.length} pods, and Service ${service.metadata.name} stands for all of them`,
      pods.map(({ metadata }) => `${metadata.name}.${hostOf(service, namespace)}:${port}`),
    )
  const note = `Service ${service.metadata.name} leads to any of the ${pods.length} pods of ${nameOf(workload)}; where they are no equals, write the address of the primary into ${field}`
  return reached(service, port, namespace, [note])
}

function selects({ spec }: Service, { metadata }: ForeignPod): boolean {
  const wanted = Object.entries(spec.selector ?? {})
  return wanted.length > 0 && wanted.every(([key, value]) => metadata.labels?.[key] === value)
}

/** The port of the Service that ends at the server's. A headless one forwards nothing: its clients meet the server's own port. */
function portOf(service: Service, { port, container }: Server): number | undefined {
  const ports = (service.spec.ports ?? []).filter(({ protocol = 'TCP' }) => protocol === 'TCP')
  const numberOf = (target: number | string) =>
    typeof target === 'number' ? target : container.ports?.find(({ name }) => name === target)?.containerPort
  const found = ports.find(each => numberOf(each.targetPort || each.port) === port)
  return found && (isHeadless(service) ? port : found.port)
}

function isHeadless({ spec }: Service): boolean {
  return spec.clusterIP === 'None'
}

function leadsToPrimary({ metadata, spec }: Service): boolean {
  return roleOf(spec.selector) === 'primary' || /-(primary|master|rw)$/.test(metadata.name)
}

/** The lower, the better. */
function rankOf(service: Service, { pod }: Server): number {
  const { type = 'ClusterIP' } = service.spec
  const flaws = [
    type !== 'ClusterIP',
    !selects(service, pod),
    !leadsToPrimary(service),
    isHeadless(service),
    leadsToCopies(service),
  ]
  return flaws.reduce((rank, flaw, weight) => rank + (flaw ? 2 ** weight : 0), 0)
}

function leadsToCopies({ metadata, spec }: Service): boolean {
  return roleOf(spec.selector) === 'replica' || /-(secondary|replicas?|repl|read|ro)$/.test(metadata.name)
}

function hostOf({ metadata }: Service, namespace: string): string {
  return `${metadata.name}.${namespace}.svc`
}

function reached(service: Service, port: number, namespace: string, notes: readonly string[]): Reached {
  return { is: 'reached', host: hostOf(service, namespace), port, notes }
}

function unreached(message: string): Reached {
  return { is: 'problem', problem: { reason: 'NoService', message, field } }
}

function ambiguous(what: string, hosts: readonly string[]): Reached {
  const message = `${what}: ${hosts.toSorted(compare).join(', ')}; write the right address into ${field} and port`
  return { is: 'problem', problem: { reason: 'Ambiguous', message, field } }
}
