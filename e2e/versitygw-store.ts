// A second S3 server, of another maker: it keeps objects as files.
import { type Manifest } from './objects.ts'
import { secret, store as minio } from './stack.ts'

/** versitygw with the bucket of the stories, its Service and its Secret; all are called `versitygw`. */
export function versitygwStore(namespace: string): readonly Manifest[] {
  const name = 'versitygw'
  const key = (of: string, key: string) => ({ name: of, valueFrom: { secretKeyRef: { name, key } } })
  const container = {
    name,
    image: 'localhost/versitygw:1',
    imagePullPolicy: 'IfNotPresent',
    command: ['sh', '-c', `mkdir -p /data/${minio.bucket} && exec versitygw --port :7070 --keep-alive posix /data`],
    env: [key('ROOT_ACCESS_KEY', 'rootUser'), key('ROOT_SECRET_KEY', 'rootPassword')],
    readinessProbe: { tcpSocket: { port: 7070 }, periodSeconds: 1 },
    volumeMounts: [{ name: 'data', mountPath: '/data' }],
  }
  const spec = {
    terminationGracePeriodSeconds: 0,
    containers: [container],
    volumes: [{ name: 'data', emptyDir: {} }],
  }
  return [
    secret(namespace, name, { rootUser: 'gateway', rootPassword: 'of-the-gateway' }),
    { apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name, labels: { app: name } }, spec },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace, name },
      spec: { selector: { app: name }, ports: [{ port: 7070 }] },
    },
  ] as readonly Manifest[]
}

export function versitygwBackend(namespace: string) {
  return {
    type: 's3',
    bucket: minio.bucket,
    endpoint: `http://versitygw.${namespace}.svc:7070`,
    secretRef: 'versitygw',
  } as const
}
