// Temporary credentials of MinIO, by its STS API: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
import { createHash, createHmac } from 'node:crypto'
import type { S3Server } from './s3-servers.ts'

export type SessionCredentials = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
}

/** They live for 15 minutes, the shortest that there is. */
export async function assumeRole({ endpoint, credentials }: S3Server): Promise<SessionCredentials> {
  const body = 'Action=AssumeRole&Version=2011-06-15&DurationSeconds=900'
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '')
  const day = time.slice(0, 8)
  const { host } = new URL(endpoint)
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
  const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()
  const names = 'host;x-amz-date'
  const asked = ['POST', '/', '', `host:${host}`, `x-amz-date:${time}`, '', names, sha256(body)].join('\n')
  const scope = `${day}/us-east-1/sts/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', time, scope, sha256(asked)].join('\n')
  let key: string | Buffer = `AWS4${credentials.secretAccessKey}`
  for (const part of [day, 'us-east-1', 'sts', 'aws4_request']) key = hmac(key, part)
  const signature = hmac(key, toSign).toString('hex')
  const authorization = `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`
  const headers = { authorization, 'x-amz-date': time, 'content-type': 'application/x-www-form-urlencoded' }
  const reply = await fetch(endpoint, { method: 'POST', body, headers })
  const text = await reply.text()
  const field = (name: string) => {
    const [, value] = new RegExp(`<${name}>([^<]+)</${name}>`).exec(text) ?? []
    if (value === undefined) throw new Error(`the answer (${reply.status}) has no ${name}: ${text}`)
    return value
  }
  return {
    accessKeyId: field('AccessKeyId'),
    secretAccessKey: field('SecretAccessKey'),
    sessionToken: field('SessionToken'),
  }
}
