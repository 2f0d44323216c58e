// What the operator asked of the API server, from its audit log.
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { releaseName, releaseNamespace } from '../../test/chart/chart.ts'
import type { ControlPlane } from '../../test/api/control-plane/control-plane.ts'

type AuditEvent = {
  readonly verb: string
  readonly user: { readonly username: string }
  readonly objectRef?: { readonly resource: string; readonly subresource?: string }
  readonly responseStatus?: { readonly code: number }
  readonly stageTimestamp: string
}

/** Where the log ends now: what is counted later begins here. */
export async function auditMark(plane: ControlPlane): Promise<number> {
  return (await stat(plane.auditLog ?? '')).size
}

export async function operatorCalls(plane: ControlPlane, mark: number): Promise<readonly AuditEvent[]> {
  const account = `system:serviceaccount:${releaseNamespace}:${releaseName}`
  const events: AuditEvent[] = []
  for await (const line of createInterface({ input: createReadStream(plane.auditLog ?? '', { start: mark }) })) {
    if (!line.includes(account)) continue
    const event = JSON.parse(line) as AuditEvent
    if (event.user.username === account) events.push(event)
  }
  return events
}

/** `list pods`: how often, without the Lease and without watches, which are renewed every minute. */
export function callCounts(events: readonly AuditEvent[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { verb, objectRef } of events) {
    if (objectRef?.resource === 'leases' || verb === 'watch') continue
    const subresource = objectRef?.subresource ? `/${objectRef.subresource}` : ''
    const name = `${verb} ${objectRef?.resource ?? ''}${subresource}`
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

/** Seconds from `due` to each successful create. */
export function lateness(events: readonly AuditEvent[], resource: string, due: Date) {
  const seconds = events
    .filter(
      ({ verb, objectRef, responseStatus }) =>
        verb === 'create' && objectRef?.resource === resource && responseStatus?.code === 201,
    )
    .map(({ stageTimestamp }) => (Date.parse(stageTimestamp) - due.getTime()) / 1000)
    .toSorted((a, b) => a - b)
  const at = (part: number) => seconds[Math.min(seconds.length - 1, Math.floor(seconds.length * part))]
  return { created: seconds.length, p50: at(0.5), p99: at(0.99), last: seconds.at(-1) }
}
