import { existsSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Where the API server is and who we are. Files are read again when they are replaced; the fixed values serve tests.
 * An ambient KUBECONFIG is never looked at.
 */
export type ClientConfig = {
  /** `https://host:port`, IPv6 hosts in brackets. */
  readonly url: string
  /** PEM. Without `ca` and `caFile` the system's roots decide. */
  readonly ca?: string
  readonly caFile?: string
  readonly token?: string
  readonly tokenFile?: string
  /** PEM. */
  readonly clientCertificate?: { readonly cert: string; readonly key: string }
  /** How audit logs name us. */
  readonly userAgent?: string
}

/** https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/#directly-accessing-the-rest-api */
const serviceAccountDirectory = '/var/run/secrets/kubernetes.io/serviceaccount'

/** The configuration that Kubernetes gives every pod with a service account token. */
export function inClusterConfig(
  options: { readonly env?: Readonly<Record<string, string | undefined>>; readonly directory?: string } = {},
): ClientConfig {
  const { env = process.env, directory = serviceAccountDirectory } = options
  const host = env['KUBERNETES_SERVICE_HOST']
  const port = env['KUBERNETES_SERVICE_PORT_HTTPS'] ?? env['KUBERNETES_SERVICE_PORT']
  if (host === undefined || host === '' || port === undefined || port === '') {
    throw new Error(
      'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this does not run in a Kubernetes pod; run it in one, or name an API server explicitly',
    )
  }
  const tokenFile = join(directory, 'token')
  const caFile = join(directory, 'ca.crt')
  for (const file of [tokenFile, caFile]) {
    if (!existsSync(file)) {
      throw new Error(
        `${file} is missing: the pod has no service account token; set automountServiceAccountToken: true on the pod`,
      )
    }
  }
  return { url: `https://${host.includes(':') ? `[${host}]` : host}:${port}`, caFile, tokenFile }
}
