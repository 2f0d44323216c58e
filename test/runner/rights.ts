// Rights and their use: the rules of roles against what an audit log says that a service account asked for (S1).

/** A rule of a Role or ClusterRole. */
export type Rule = {
  readonly apiGroups?: readonly string[]
  readonly resources?: readonly string[]
  readonly resourceNames?: readonly string[]
  readonly verbs: readonly string[]
}

/** One verb on one resource, `resource/subresource` where it is one. `name`: of this object only; `own`: in the release's namespace only. */
export type Right = {
  readonly group: string
  readonly resource: string
  readonly verb: string
  readonly name?: string
  readonly own: boolean
}

/** Of audit.k8s.io/v1 Event, what matters here. */
export type AuditEvent = {
  readonly verb: string
  readonly requestURI: string
  readonly requestReceivedTimestamp: string
  readonly user: { readonly username: string }
  readonly objectRef?: {
    readonly apiGroup?: string
    readonly resource: string
    readonly subresource?: string
    readonly namespace?: string
    readonly name?: string
  }
  readonly annotations?: Readonly<Record<string, string>>
}

type Role = { readonly rules: readonly Rule[] }

/** All that the chart's two roles allow. @param roleOf reads the release's ClusterRole, or its Role, from the API server */
export async function installedRights(
  roleOf: (kind: 'clusterrole' | 'role') => Promise<Role>,
): Promise<readonly Right[]> {
  const [everywhere, own] = [await roleOf('clusterrole'), await roleOf('role')]
  return [...rightsOf(everywhere.rules, false), ...rightsOf(own.rules, true)]
}

export function rightsOf(rules: readonly Rule[], own: boolean): readonly Right[] {
  return rules.flatMap(({ apiGroups = [], resources = [], resourceNames = [undefined], verbs }) =>
    apiGroups.flatMap(group =>
      resources.flatMap(resource =>
        resourceNames.flatMap(name => verbs.map(verb => ({ group, resource, verb, own, ...(name && { name }) }))),
      ),
    ),
  )
}

/** As `kubectl auth can-i` would ask: `get namespaces/kube-system`, `update jobs.batch/status`, `create leases.coordination.k8s.io (own namespace)`. */
export function rightName({ group, resource, verb, name, own }: Right): string {
  const [plural = '', subresource] = resource.split('/')
  const path = [group === '' ? plural : `${plural}.${group}`, subresource, name].filter(part => part !== undefined)
  return `${verb} ${path.join('/')}${own ? ' (own namespace)' : ''}`
}

/** What a service account asked the API server in an audit log, from `since` on. */
export function requestsOf(log: string, account: string, since = new Date(0)): readonly AuditEvent[] {
  const lines = log.split('\n').slice(0, -1) // what follows the last line's end is still being written
  const events = lines.map(line => JSON.parse(line) as AuditEvent)
  return events.filter(
    ({ user, requestReceivedTimestamp }) =>
      user.username === `system:serviceaccount:${account}` && Date.parse(requestReceivedTimestamp) >= since.getTime(),
  )
}

/**
 * The rights that no request needed. A right everywhere is not needed for a request in the release's own `namespace`: a Role would do.
 */
export function unusedRights(
  rights: readonly Right[],
  requests: readonly AuditEvent[],
  namespace: string,
): readonly Right[] {
  return rights.filter(right => !requests.some(request => needs(request, right, namespace)))
}

function needs({ verb, objectRef }: AuditEvent, right: Right, namespace: string): boolean {
  if (!objectRef || verb !== right.verb) return false
  const { apiGroup = '', resource, subresource, name } = objectRef
  if (apiGroup !== right.group || [resource, subresource].filter(Boolean).join('/') !== right.resource) return false
  return (objectRef.namespace === namespace) === right.own && (right.name === undefined || right.name === name)
}

/** What the authorizer refused, each once. A quota or an admission policy answers 403 as well; those refuse objects, not rights. */
export function refusals(requests: readonly AuditEvent[]): readonly string[] {
  const refused = requests.filter(({ annotations }) => annotations?.['authorization.k8s.io/decision'] === 'forbid')
  return [...new Set(refused.map(({ verb, requestURI }) => `${verb} ${requestURI}`))]
}
