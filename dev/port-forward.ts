import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { clusterEnvironment, inClusterNetwork, type Cluster } from './cluster-access.ts'

export type Forwarded = {
  /** On the loopback interface. */
  readonly port: number
  /** Call it, or the process does not end. */
  readonly close: () => Promise<void>
}

/** `kubectl port-forward` to a Service, so that it is reached from here on any cluster. Callers must be in the cluster's network. */
export async function forwardPort(
  cluster: Cluster,
  namespace: string,
  service: string,
  servicePort: number,
): Promise<Forwarded> {
  const argv = ['kubectl', '--namespace', namespace, 'port-forward', `service/${service}`, `:${servicePort}`]
  const [program = '', ...args] = inClusterNetwork(cluster, argv)
  const forward = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], env: clusterEnvironment(cluster) })
  // The rest is read and dropped: a full pipe would stop the forwarding.
  const lines = createInterface(forward.stdout)
  const [line] = (await Promise.race([
    once(lines, 'line'),
    once(forward, 'exit').then(([code]) => Promise.reject(new Error(`kubectl port-forward ended with ${code}`))),
  ])) as [string]
  const port = /:(\d+) ->/.exec(line)?.[1]
  if (port === undefined) throw new Error(`kubectl port-forward says "${line}"`)
  return {
    port: Number(port),
    close: async () => {
      if (forward.exitCode !== null) return
      forward.kill()
      await once(forward, 'exit')
    },
  }
}
