// A store whose certificate nobody has signed.
import { selfSigned } from './certificate.ts'
import { type Manifest } from './objects.ts'
import { secret, store as minio } from './stack.ts'

/** A MinIO with a certificate that it signed itself, and the ConfigMap that makes it trusted; all are called `tls-store`. */
export async function tlsStore(namespace: string): Promise<readonly Manifest[]> {
  const name = 'tls-store'
  const { certificate, key } = await selfSigned(`${name}.${namespace}.svc`)
  const container = {
    name: 'minio',
    image: 'localhost/minio:1',
    imagePullPolicy: 'IfNotPresent',
    command: ['sh', '-c', `mkdir -p /data/${minio.bucket} && exec minio server --certs-dir /certs /data`],
    env: [
      { name: 'MINIO_ROOT_USER', value: minio.user },
      { name: 'MINIO_ROOT_PASSWORD', value: minio.password },
    ],
    readinessProbe: { httpGet: { path: '/minio/health/ready', port: 9000, scheme: 'HTTPS' }, periodSeconds: 1 },
    volumeMounts: [
      { name: 'data', mountPath: '/data' },
      { name: 'certs', mountPath: '/certs' },
    ],
  }
  const pod = {
    terminationGracePeriodSeconds: 0,
    containers: [container],
    volumes: [
      { name: 'data', emptyDir: {} },
      { name: 'certs', secret: { secretName: name } },
    ],
  }
  return [
    secret(namespace, name, { 'public.crt': certificate, 'private.key': key }),
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace, name }, data: { 'ca.crt': certificate } },
    { apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name, labels: { app: name } }, spec: pod },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace, name },
      spec: { selector: { app: name }, ports: [{ port: 9000 }] },
    },
  ]
}
