// Ways to bring one file into a bucket: ours, and those of others with Debian's programs. Each reads the file through a pipe, as a dump comes.
import { existsSync } from 'node:fs'
import { capture } from '../../dev/command.ts'
import { jobOf, startPod, taskFor } from '../../test/mover/backup-pod.ts'
import type { S3Server } from '../../test/storage/s3-servers.ts'

export type Way = {
  readonly name: string
  /** Not measured. */
  readonly prepare?: (bucket: string) => Promise<void>
  readonly run: (bucket: string) => Promise<void>
}

const packages = {
  '/usr/bin/aws': 'awscli',
  '/usr/bin/rclone': 'rclone',
  '/usr/bin/restic': 'restic',
  '/usr/bin/zstd': 'zstd',
}

/** Installs what is missing, as root. */
export async function installPeers(): Promise<void> {
  const missing = Object.entries(packages).flatMap(([program, name]) => (existsSync(program) ? [] : [name]))
  if (missing.length === 0) return
  const { env } = process
  await capture(['apt-get', 'update', '-qq'], { env })
  await capture(['apt-get', 'install', '-y', '-qq', '--no-install-recommends', ...missing], { env })
}

/** What the programs of others find in their environment of a server and its credentials. */
export function peerEnvironment({ endpoint, credentials }: S3Server) {
  const { accessKeyId, secretAccessKey } = credentials
  return {
    aws: {
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_DEFAULT_REGION: 'us-east-1',
    },
    rclone: {
      RCLONE_CONFIG: '/dev/null',
      RCLONE_S3_PROVIDER: 'Minio',
      RCLONE_S3_ENDPOINT: endpoint,
      RCLONE_S3_ACCESS_KEY_ID: accessKeyId,
      RCLONE_S3_SECRET_ACCESS_KEY: secretAccessKey,
    },
  }
}

/** Runs shell scripts of which no part may fail. */
export function shellWith(common: Readonly<Record<string, string>>) {
  return async (script: string, environment: Readonly<Record<string, string>> = {}) => {
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/dev/shm', ...common, ...environment }
    await capture(['bash', '-o', 'pipefail', '-c', script], { env })
  }
}

/** `bytes` of the file, which is all of it. */
export function waysOf(server: S3Server, file: string, bytes: number): readonly Way[] {
  const { accessKeyId, secretAccessKey } = server.credentials
  const { aws, rclone } = peerEnvironment(server)
  const restic = { ...aws, RESTIC_PASSWORD: 'bench' }
  const shell = shellWith({ FILE: file, ENDPOINT: server.endpoint })
  let runs = 0
  return [
    {
      name: 'ours',
      async run(bucket) {
        const secret = { accessKey: accessKeyId, secretKey: secretAccessKey }
        const task = taskFor(server, bucket, { stallTimeoutSeconds: 600 })
        const pod = await startPod({ task, secret, command: ['cat', file], run: jobOf(runs++) })
        const { code, message } = await pod.result()
        if (code !== 0 || message.bytes !== bytes) throw new Error(`the mover failed: ${JSON.stringify(message)}`)
      },
    },
    { name: 'zstd alone', run: () => shell('cat "$FILE" | zstd -3 -q >/dev/null') },
    {
      name: 'zstd | aws',
      run: BUCKET =>
        shell('cat "$FILE" | zstd -3 -q | aws --endpoint-url "$ENDPOINT" s3 cp --quiet - "s3://$BUCKET/dump.zst"', {
          ...aws,
          BUCKET,
        }),
    },
    {
      name: 'zstd | rclone',
      run: BUCKET => shell('cat "$FILE" | zstd -3 -q | rclone rcat ":s3:$BUCKET/dump.zst"', { ...rclone, BUCKET }),
    },
    {
      name: 'aws alone',
      run: BUCKET =>
        shell('aws --endpoint-url "$ENDPOINT" s3 cp --quiet - "s3://$BUCKET/dump.zst" <"$FILE.zst"', {
          ...aws,
          BUCKET,
        }),
    },
    {
      name: 'rclone alone',
      run: BUCKET => shell('rclone rcat ":s3:$BUCKET/dump.zst" <"$FILE.zst"', { ...rclone, BUCKET }),
    },
    {
      name: 'restic',
      prepare: BUCKET => shell('restic -q -r "s3:$ENDPOINT/$BUCKET/restic" init', { ...restic, BUCKET }),
      run: BUCKET =>
        shell('cat "$FILE" | restic -q -r "s3:$ENDPOINT/$BUCKET/restic" --no-cache backup --stdin', {
          ...restic,
          BUCKET,
        }),
    },
  ]
}
