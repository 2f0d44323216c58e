// What a policy with a preset backs up: the workloads that its selector matches, and how each is reached, as far as the cluster tells.
// What the policy states comes first. No Secret is read, and no value of one is ever in what is found: only where it is.
import type { Connection as StatedConnection } from '../api/kinds/backup-policy-connection.ts'
import type { JobStrategy } from '../api/kinds/backup-policy-job.ts'
import { accountsOf, problem, type FoundAccount, type FoundAccounts } from './credentials.ts'
import type { Connection, FoundTargets, Preset, Problem, Target, User, Workload } from './preset.ts'
import { recognize, type Recognized, type Server } from './servers.ts'
import { serviceOf, type Reached } from './services.ts'
import { statedPassword, statedUser, tlsOf } from './stated-connection.ts'
import { compare, nameOf, workloadsOf, type PresetWorld, type WorkloadPods } from './workloads.ts'

/** What of the policy decides. */
export type Stated = Pick<JobStrategy, 'image' | 'connection'>

type Candidate = { readonly group: WorkloadPods; readonly recognized: Recognized }

export function findTargets(preset: Preset, stated: Stated, world: PresetWorld): FoundTargets {
  const all = workloadsOf(world).map(group => ({ group, recognized: recognize(preset, group) }))
  const { chosen, passedOver } = choose(preset, all)
  const host = stated.connection?.host
  if (chosen.length === 0) return { targets: host === undefined ? [] : [external(preset, stated)], passedOver }
  const targets = chosen
    .map(candidate => targetOf(preset, stated, candidate, { chosen, all }, world))
    .sort((a, b) => compare(a.name, b.name))
  return { targets, passedOver }
}

/**
 * Servers and not what stands around them, primaries and not their copies. Where nothing looks like a server everything is a candidate, so
 * that it is said of each what is missing.
 */
function choose(
  preset: Preset,
  all: readonly Candidate[],
): { readonly chosen: readonly Candidate[] } & Pick<FoundTargets, 'passedOver'> {
  const servers = all.filter(({ recognized }) => recognized.is !== 'none')
  const primaries = servers.filter(candidate => !isReplica(candidate))
  // A copy whose original is not selected is backed up itself.
  const originals = new Set(primaries.map(applicationOf))
  const lone = servers.filter(candidate => isReplica(candidate) && !originals.has(applicationOf(candidate)))
  const chosen = servers.length > 0 ? [...primaries, ...lone] : all
  const passedOver = all
    .filter(candidate => !chosen.includes(candidate))
    .map(({ group: { workload }, recognized }) => ({
      workload,
      message:
        recognized.is === 'none'
          ? `no container of ${nameOf(workload)} looks like a server of ${preset.title}`
          : `${nameOf(workload)} is the copy of another server, which is backed up`,
    }))
  return { chosen, passedOver }
}

function isReplica({ recognized }: Candidate): boolean {
  return recognized.is === 'server' && recognized.server.isReplica
}

/** What the parts of one installation have in common. */
function applicationOf({ group }: Candidate): string | undefined {
  return group.pods[0].metadata.labels?.['app.kubernetes.io/instance']
}

function targetOf(
  preset: Preset,
  stated: Stated,
  { group, recognized }: Candidate,
  { chosen, all }: { readonly chosen: readonly Candidate[]; readonly all: readonly Candidate[] },
  { services, namespace }: PresetWorld,
): Target {
  const { workload } = group
  const server = recognized.is === 'server' ? recognized.server : undefined
  const unclear = unclearServer(preset, stated, workload, recognized)
  const known = server && operatorOf(preset, workload, server)
  const service = known && { name: known.operator.service(known.cluster), operator: known.operator.title }
  const others = all.flatMap(each => (each.group === group || each.recognized.is === 'none' ? [] : each.group.pods))
  const reached =
    statedAddress(preset, stated) ?? (server && serviceOf(group, server, others, services, namespace, service))
  const accounts = known ? operatedAccounts(preset, known, server) : server && accountsOf(preset, server)
  return assembled(preset, stated, {
    named: { name: workload.name, workload },
    image: stated.image ?? server?.container.image,
    imagePullSecrets: (group.pods[0].spec.imagePullSecrets ?? []).flatMap(({ name }) => name || []),
    reached,
    accounts,
    problems: [
      ...namesakes(workload, chosen),
      ...(unclear ? [unclear] : []),
      ...(stated.connection?.host !== undefined && chosen.length > 1 ? [manyForOneHost(chosen)] : []),
    ],
  })
}

/** A server that no selected pod runs: all of it must be stated. */
function external(preset: Preset, stated: Stated): Target {
  return assembled(preset, stated, {
    named: { name: preset.name, workload: undefined },
    image: stated.image,
    imagePullSecrets: [],
    reached: statedAddress(preset, stated),
    accounts: undefined,
    problems: [],
  })
}

type Parts = {
  readonly named: Pick<Target, 'name' | 'workload'>
  readonly image: string | undefined
  readonly imagePullSecrets: readonly string[]
  readonly reached: Reached | undefined
  readonly accounts: FoundAccounts | undefined
  /** Found before. */
  readonly problems: readonly Problem[]
}

function assembled(preset: Preset, stated: Stated, parts: Parts): Target {
  const { named, image, imagePullSecrets, reached, accounts } = parts
  const { user, password, notes } = credentialsOf(stated.connection, accounts?.dump ?? nothingKnown(preset))
  const problems = [
    ...parts.problems,
    ...(image === undefined && parts.problems.length === 0 ? [noImage(preset)] : []),
    ...(reached?.is === 'problem' ? [reached.problem] : []),
    // Of a server that was not recognized only that is said: what follows from it would be said three times.
    ...(accounts || parts.problems.length === 0 ? [user, password].filter(part => 'reason' in part) : []),
  ]
  const [first, ...others] = problems
  if (first) return { is: 'unresolved', ...named, problems: [first, ...others] }
  if (image === undefined || reached?.is !== 'reached' || 'reason' in user || 'reason' in password)
    throw new TypeError(`target ${named.name} lacks a part although no problem was found`)
  const { host } = reached
  const port = stated.connection?.port ?? reached.port
  const connection: Connection = { host, port, user, password, tls: tlsOf(stated.connection) }
  return {
    is: 'resolved',
    ...named,
    image,
    imagePullSecrets,
    connection,
    administrator: accounts?.administrator ?? noWorkload(),
    notes: [...reached.notes, ...notes],
  }
}

// ── what the policy states

function statedAddress(preset: Preset, { connection }: Stated): Reached | undefined {
  if (connection?.host === undefined) return undefined
  return { is: 'reached', host: connection.host, port: connection.port ?? preset.port, notes: [] }
}

/** A stated user with a password that was found would be a pair of two people, unless it is the same user. */
function credentialsOf(stated: StatedConnection | undefined, found: FoundAccount): FoundAccount {
  const user = statedUser(stated)
  const password = statedPassword(stated)
  if (password) return { user: user ?? found.user, password, notes: [] }
  if (!user || isSameUser(user, found.user)) return found
  if (stated?.tls?.certFrom || stated?.tls?.secretName) return { user, password: { is: 'none' }, notes: [] }
  const field = 'strategy.job.connection.passwordFrom'
  const message = `the password of the user that strategy.job.connection states is not known; refer to it in ${field}`
  return { user, password: problem('CredentialsUnknown', message, field), notes: [] }
}

function isSameUser(a: User, b: User | Problem): boolean {
  return 'is' in b && a.is === 'named' && b.is === 'named' && a.name === b.name
}

// ── what operators of databases keep

type Operated = { readonly operator: Preset['operators'][number]; readonly cluster: string }

function operatorOf(preset: Preset, owner: Workload, { pod }: Server): Operated | undefined {
  const labels = pod.metadata.labels ?? {}
  const found = preset.operators.flatMap(operator => {
    const cluster = operator.cluster({ owner, labels })
    return cluster === undefined ? [] : [{ operator, cluster }]
  })
  return found[0]
}

function operatedAccounts(preset: Preset, { operator, cluster }: Operated, server: Server): FoundAccounts {
  if (!operator.credentials) return accountsOf(preset, server)
  const { dump, administrator, note } = operator.credentials
  return { dump: { ...dump(cluster), notes: [note(cluster)] }, administrator: administrator(cluster) }
}

// ── what is missing

function unclearServer(
  preset: Preset,
  { image, connection }: Stated,
  workload: Workload,
  recognized: Recognized,
): Problem | undefined {
  // With all of it stated it does not matter which container is the server.
  const isStated =
    image !== undefined && connection?.host !== undefined && statedUser(connection) && statedPassword(connection)
  if (recognized.is === 'server' || isStated) return undefined
  const instead = 'write strategy.job.image, and host, user and passwordFrom of strategy.job.connection'
  if (recognized.is === 'several')
    return problem(
      'Ambiguous',
      `several containers of ${nameOf(workload)} look like a server of ${preset.title}: ${recognized.containers.join(', ')}; ${instead}`,
      'strategy.job.connection',
    )
  return problem(
    'ServerNotRecognized',
    `no container of ${nameOf(workload)} looks like a server of ${preset.title}, by its image, its port ${preset.port} or its variables; narrow the selector, or ${instead}`,
    'strategy.job.connection',
  )
}

function noImage(preset: Preset): Problem {
  const field = 'strategy.job.image'
  return problem(
    'ServerNotRecognized',
    `no selected pod runs the server, so that nothing tells which image has the programs of ${preset.title}; write one into ${field}, of the server's version or a newer one`,
    field,
  )
}

function nothingKnown(preset: Preset): FoundAccount {
  const [userField, passwordField] = ['strategy.job.connection.user', 'strategy.job.connection.passwordFrom']
  return {
    user: problem(
      'CredentialsUnknown',
      `no selected pod runs the server of ${preset.title}; write the user into ${userField}`,
      userField,
    ),
    password: problem(
      'CredentialsUnknown',
      `no selected pod runs the server of ${preset.title}; refer to the password in ${passwordField}`,
      passwordField,
    ),
    notes: [],
  }
}

function noWorkload(): Problem {
  const field = 'into.credentials'
  return problem('CredentialsUnknown', `no selected pod tells of an administrator; refer to one in ${field}`, field)
}

/** Their backups would be in one folder. */
function namesakes({ name }: Workload, chosen: readonly Candidate[]): readonly Problem[] {
  const same = chosen.filter(({ group }) => group.workload.name === name)
  if (same.length === 1) return []
  const all = same.map(({ group }) => nameOf(group.workload)).join(', ')
  return [
    problem('Ambiguous', `several workloads have this name: ${all}; narrow the selector to one of them`, 'selector'),
  ]
}

function manyForOneHost(chosen: readonly Candidate[]): Problem {
  const all = chosen.map(({ group }) => nameOf(group.workload)).join(', ')
  const message = `strategy.job.connection.host names one server, and the selector matches several workloads: ${all}; narrow the selector, or remove host`
  return problem('Ambiguous', message, 'selector')
}
