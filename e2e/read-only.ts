// Credentials of MinIO that may only read: AssumeRole of its STS, with a policy for the session.
import { createHash, createHmac } from 'node:crypto'
import { store as minio } from './stack.ts'

const reading = {
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: ['s3:GetObject', 's3:ListBucket'], Resource: ['arn:aws:s3:::*'] }],
}

/** Credentials for an hour that may read and list, and nothing else, as keys of a Secret. */
export async function readOnlyCredentials(endpoint: string): Promise<Readonly<Record<string, string>>> {
  const form = { Action: 'AssumeRole', Version: '2011-06-15', DurationSeconds: '3600', Policy: JSON.stringify(reading) }
  const body = new URLSearchParams(form).toString()
  const answer = await fetch(`${endpoint}/`, { method: 'POST', body, headers: signed(new URL(endpoint).host, body) })
  const text = await answer.text()
  const value = (element: string) => {
    const found = new RegExp(`<${element}>([^<]+)</${element}>`).exec(text)?.[1]
    if (found === undefined) throw new Error(`AssumeRole answered ${answer.status} without ${element}`)
    return found
  }
  return {
    AWS_ACCESS_KEY_ID: value('AccessKeyId'),
    AWS_SECRET_ACCESS_KEY: value('SecretAccessKey'),
    AWS_SESSION_TOKEN: value('SessionToken'),
  }
}

/** Signature version 4 of a POST to `/` of the service sts. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html */
function signed(host: string, body: string): Readonly<Record<string, string>> {
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '')
  const digest = (text: string) => createHash('sha256').update(text).digest('hex')
  const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()
  const headers = { 'content-type': 'application/x-www-form-urlencoded', host, 'x-amz-date': time }
  const names = Object.keys(headers).join(';')
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`)
  const request = ['POST', '/', '', lines.join(''), names, digest(body)].join('\n')
  const scope = [time.slice(0, 8), 'us-east-1', 'sts', 'aws4_request']
  const key = scope.reduce<string | Buffer>(hmac, `AWS4${minio.password}`)
  const signature = hmac(key, ['AWS4-HMAC-SHA256', time, scope.join('/'), digest(request)].join('\n')).toString('hex')
  const credential = `${minio.user}/${scope.join('/')}`
  const authorization = `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`
  return { 'content-type': headers['content-type'], 'x-amz-date': time, authorization }
}
