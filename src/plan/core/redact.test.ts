import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { redact, tail } from './redact.ts'

/** Ways in which programs print a secret. */
const forms: readonly ((secret: string) => string)[] = [
  s => `postgres://app:${s}@db:5432/shop?sslmode=require`,
  s => `could not connect to redis://:${s}@cache/0`,
  s => `shop:${s}@tcp(mysql:3306)/shop`,
  s => `PGPASSWORD=${s} pg_dump -h db`,
  s => `connection "host=db password=${s} dbname=shop" failed`,
  s => `MYSQL_PWD="${s}"`,
  s => `{"user":"app","password":"${s}","host":"db"}`,
  s => `{"msg":"{\\"password\\": \\"${s} ${s}\\"}"}`,
  s => `password: ${s}`,
  s => `  secretKey: '${s} ${s}'`,
  s => `aws_secret_access_key = ${s}`,
  s => `AWS_SESSION_TOKEN=${s}`,
  s => `api-key: ${s}`,
  s => `DB_PASS=${s}`,
  s => `restic passphrase=${s}`,
  s => `https://s3/b?X-Amz-Signature=${s}&x=1`,
  s => `form: user=a&password=${s}&x=1`,
  s => `password%3D${s}`,
  s => `mysqldump --password ${s} --all-databases`,
  s => `tool --client-secret=${s}`,
  s => `mongodump -p ${s}`,
  s => `mysqldump -u root -p${s} shop`,
  s => `redis-cli -h cache -a ${s} --rdb -`,
  s => `Authorization: Basic ${s}`,
  s => `> authorization: AWS4-HMAC-SHA256 Credential=${s}/x, Signature=${s}`,
  s => `curl -H "Authorization: Bearer ${s}"`,
  s => `sent bearer ${s}`,
  s => `ALTER ROLE app PASSWORD '${s} ${s}';`,
  s => `CREATE USER a IDENTIFIED WITH caching_sha2_password BY '${s}'`,
  s => `<Error><Code>SignatureDoesNotMatch</Code><SignatureProvided>${s}</SignatureProvided></Error>`,
  s => `-----BEGIN RSA PRIVATE KEY-----\n${s}\n${s}\n-----END RSA PRIVATE KEY-----`,
  s => `-----BEGIN OPENSSH PRIVATE KEY-----\n${s}`,
]

const ordinary = [
  'pg_dump: error: connection to server at "db" (10.0.0.7), port 5432 failed: FATAL:  password authentication failed for user "app"',
  'pg_dump: error: query failed: ERROR:  permission denied for table tokens',
  "mysqldump: Got error: 1045: Access denied for user 'root'@'10.0.0.7' (using password: ", // cut before YES
  'SecretNotFound: Secret minio-creds does not exist in namespace shop: create it, or name another in backend.secretRef',
  'Secret "minio-creds" has none of the keys AWS_ACCESS_KEY_ID, accessKey, rootUser',
  'backend.secretRef: minio-creds',
  'pulling http://registry:5000/team/app@sha256:0123456789abcdef failed',
  'upload to https://minio.minio.svc:9000/backups/shop failed: 503 Service Unavailable',
  'mkdir -p /var/lib/data && pg_dump -p 5432 -Fc shop',
  'mailto:ops@example.com, user@host',
  'bypass=true monkey=1 tokens=3 passed: 7 keyboard=de',
  'main.ts:12:5: unexpected end of input',
  'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
]

describe('redact', () => {
  test('leaves no known form of a secret', () => {
    for (const form of forms) {
      const clean = redact(form('S3cr3tCanary99'))
      assert.ok(!clean.includes('S3cr3tCanary99'), clean)
      assert.ok(clean.includes('[redacted]'), clean)
    }
  })

  test('keeps what is around a secret', () => {
    assert.equal(redact('postgres://app:p@ss@db:5432/shop is down'), 'postgres://app:[redacted]@db:5432/shop is down')
    assert.equal(redact('PGPASSWORD=abc pg_dump -h db'), 'PGPASSWORD=[redacted] pg_dump -h db')
    assert.equal(redact('{"password":"a \\" b","host":"db"}'), '{"password":[redacted],"host":"db"}')
    assert.equal(redact('key AKIAIOSFODNN7EXAMPLE was refused'), 'key [redacted] was refused')
  })

  test('recognises keys by their form alone', () => {
    for (const text of [
      'ASIAIOSFODNN7EXAMPLE',
      'AGE-SECRET-KEY-1QQQQQQQQQQQQ',
      'AGE-SECRET-KEY-PQ-1QQQQQQQQQQQQ',
      'eyJhbGciOi.eyJzdWIi.c2ln',
      'c2VjcmV0\nbW9yZQ==\n-----END EC PRIVATE KEY-----',
    ])
      assert.equal(redact(text), '[redacted]')
  })

  test('leaves ordinary messages as they are', () => {
    for (const text of ordinary) assert.equal(redact(text), text)
  })

  test('property: no secret survives, in any form, among any text, and doing it twice changes nothing', () => {
    const characters = 'abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789!$%*+,.:;~^|@#&()[]{}=_-'.split('')
    // It begins with a letter, like no port and no option.
    const secret = fc
      .array(fc.constantFrom(...characters), { minLength: 8, maxLength: 40 })
      .map(cs => `k${cs.join('')}`)
    const words = fc.array(fc.constantFrom('error', 'at', 'dump:', '"x"', "it's", '42', 'é', '\n', '🗄', 'a=b'), {
      maxLength: 6,
    })
    fc.assert(
      fc.property(words, fc.constantFrom(...forms), secret, words, (before, form, canary, after) => {
        const clean = redact([...before, form(canary), ...after].join(' '))
        // `bearer` alone is a word: only what a token can hold is taken for one.
        fc.pre(!clean.includes('sent bearer') || /^[\w.~+/=-]+$/.test(canary))
        assert.ok(!clean.includes(canary), clean)
        assert.equal(redact(clean), clean)
      }),
      { numRuns: 2000 },
    )
  })

  test('an error code of S3 is no name of a secret', () => {
    const text = 'InvalidAccessKeyId: The AWS Access Key Id you provided does not exist in our records. (status 403)'
    assert.equal(redact(text), text)
  })

  test('property: text without secrets is untouched', () => {
    const words =
      'error warning backup of table orders failed after 30 s ( exit 1 ) at /data/x.sql: no space left - retry, port=5432'.split(
        ' ',
      )
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...words)), chosen => {
        const text = chosen.join(' ')
        assert.equal(redact(text), text)
      }),
    )
  })

  test('takes milliseconds for a long hostile text', () => {
    const started = performance.now()
    for (const unit of [
      'a',
      'a-',
      'password',
      'password=',
      '://',
      ':',
      "'",
      '"',
      '\\"',
      '-p ',
      'mysql -p',
      '-----BEGIN ',
      'eyJ',
      '<secret>',
      'A\n',
      ' ',
    ])
      redact(unit.repeat(Math.ceil(65_536 / unit.length)))
    assert.ok(performance.now() - started < 3000, `${performance.now() - started} ms`)
  })
})

describe('tail', () => {
  test('property: is the longest end that fits, in whole characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.nat(60), (text, maxBytes) => {
        const end = tail(text, maxBytes)
        assert.ok(text.endsWith(end))
        assert.ok(Buffer.byteLength(end) <= maxBytes)
        assert.ok(end.isWellFormed())
        const rest = Array.from(text.slice(0, text.length - end.length))
        if (rest.length > 0) assert.ok(Buffer.byteLength(`${rest.at(-1)}${end}`) > maxBytes)
      }),
    )
  })
})
