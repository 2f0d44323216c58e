import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { BackendSpec } from '../api/kinds/backup-policy-backend.ts'
import { storeLocation } from './desired-state.ts'

const written = {
  type: 's3',
  bucket: 'backups',
  endpoint: 'http://minio.minio.svc:9000',
  prefix: 'eu',
  region: 'us-east-1',
  secretRef: 'minio-creds',
} as const
const at = (change: Partial<BackendSpec>) => storeLocation({ ...written, ...change })
const url = (endpoint: string) => at({ endpoint })

describe('F63: the place of a store', () => {
  test('is the same however its endpoint is spelled, and whether or not it speaks TLS', () => {
    for (const spelling of [
      'https://minio.minio.svc:9000',
      'HTTP://MinIO.minio.svc:9000/',
      'http://minio.minio.svc.:9000',
      'http://minio.minio.svc:09000',
    ])
      assert.equal(url(spelling), url(written.endpoint), spelling)
    for (const spelling of ['https://s3.example.com', 'http://s3.example.com:80/', 'https://s3.example.com:443'])
      assert.equal(url(spelling), url('http://s3.example.com'), spelling)
  })

  test('is the same for other credentials, another region and another way to write the bucket', () => {
    assert.equal(at({ secretRef: 'other', region: 'eu-west-1', ca: 'ca', forcePathStyle: false }), at({}))
  })

  test('is another one at another host, port, bucket or prefix: a list of one is never believed about the other', () => {
    const places = [
      at({}),
      at({ endpoint: undefined }),
      at({ prefix: undefined }),
      at({ prefix: 'us' }),
      at({ bucket: 'other' }),
      url('http://minio.minio.svc'),
      url('http://minio.minio.svc:9001'),
      url('http://minio.minio.svc.cluster.local:9000'),
      url('http://backups.minio.minio.svc:9000'),
      url('http://10.0.0.1:9000'),
      url('http://[::1]:9000'),
    ]
    assert.equal(new Set(places).size, places.length)
  })

  test('can be said of any text that a cluster without our rules may hold', () => {
    assert.notEqual(url('minio:9000'), url('minio:9001'))
    assert.notEqual(url('no url'), at({ endpoint: undefined }))
  })
})
